#include "placement/solve/normal_equations.hpp"

#include <algorithm>

#include "placement/solve/dense_algebra.hpp"

namespace sparrow::placement {
namespace {

constexpr size_t kTogether = 4;  // columns: the matrix is what would be read and written most

}  // namespace

NormalEquations::NormalEquations(const BlockProgram& program)
    : p_(program), m_(program.rows), difference_(kTogether * static_cast<size_t>(m_)), scales_(kTogether) {}

/// Adds sum_i scales[i] d_i d_i^T to the lower half of the matrix.
void NormalEquations::add_products() {
  const auto m = static_cast<size_t>(m_);
  const double *d0 = difference_.data(), *d1 = d0 + m, *d2 = d1 + m, *d3 = d2 + m;
  for (size_t k = 0; k < m; ++k) {
    const double s0 = scales_[0] * d0[k], s1 = scales_[1] * d1[k], s2 = scales_[2] * d2[k], s3 = scales_[3] * d3[k];
    if (s0 == 0 && s1 == 0 && s2 == 0 && s3 == 0) continue;
    double* row = normal_.data() + k * m;
    for (size_t l = 0; l <= k; ++l) row[l] += (s0 * d0[l] + s1 * d1[l]) + (s2 * d2[l] + s3 * d3[l]);
  }
}

void NormalEquations::add_class(int c, const std::vector<double>& weight) {
  const int first = p_.class_start[c], last = p_.class_start[static_cast<size_t>(c) + 1];
  double* centre = centre_.data() + static_cast<size_t>(c) * static_cast<size_t>(m_);
  double total = 0;
  for (int j = first; j < last; ++j) total += weight[j];
  class_weight_[c] = total;
  for (int j = first; j < last; ++j) {
    const double share = weight[j] / total;
    const double* column = p_.column(j);
    for (int k = 0; k < m_; ++k) centre[k] += share * column[k];
  }
  for (int j = first; j < last && last - first > 1; j += static_cast<int>(kTogether)) {
    for (size_t i = 0; i < kTogether; ++i) {
      double* difference = difference_.data() + i * static_cast<size_t>(m_);
      const int at = j + static_cast<int>(i);
      scales_[i] = at < last ? weight[at] : 0;
      const double* column = p_.column(std::min(at, last - 1));
      for (int k = 0; k < m_; ++k) difference[k] = column[k] - centre[k];
    }
    add_products();
  }
}

void NormalEquations::factorise(const std::vector<double>& weight) {
  const auto m = static_cast<size_t>(m_), classes = static_cast<size_t>(p_.classes());
  const int first_tau = p_.column_count(), first_slack = first_tau + static_cast<int>(p_.objective.size());
  normal_.assign(m * m, 0);
  centre_.assign(classes * m, 0);
  class_weight_.assign(classes, 0);
  for (int c = 0; c < p_.classes(); ++c) add_class(c, weight);
  for (const auto& a : p_.links)
    for (const auto& b : p_.links)
      if (a.tau == b.tau && b.row <= a.row)
        normal_[a.row * m_ + b.row] += a.value * b.value * weight[first_tau + a.tau];
  for (int k = 0; k < m_; ++k) normal_[k * m_ + k] += weight[first_slack + k];
  placement::factorise(normal_, m_);
}

void NormalEquations::solve(std::vector<double>& rows, std::vector<double>& classes) const {
  const auto centre_of = [&](size_t c) { return centre_.data() + c * static_cast<size_t>(m_); };
  for (size_t c = 0; c < classes.size(); ++c) {
    const double* centre = centre_of(c);
    for (int k = 0; k < m_; ++k) rows[k] -= centre[k] * classes[c];
  }
  solve_factorised(normal_, m_, rows);
  for (size_t c = 0; c < classes.size(); ++c)
    classes[c] = classes[c] / class_weight_[c] - dot(centre_of(c), rows.data(), m_);
}

}  // namespace sparrow::placement
