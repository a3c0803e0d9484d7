// Mehrotra's method with the equations of the classes eliminated. Notation: y duals of coupling rows (<= 0), w of
// classes, r reduced costs, s slacks; d = x / r.
#include "placement/interior_point.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace sparrow::placement {
namespace {

constexpr size_t kTogether = 4;
constexpr double kDependent = 1e-15;
constexpr double kBlocked = 0.1;   // steps shorter than this are given up for a centring one
constexpr double kCentring = 0.8;  // of the average product, which such a step aims at

/// In-place Cholesky of a symmetric positive semidefinite matrix (lower half used). A pivot that rounding leaves of its
/// diagonal entry stands for a dependent row: a huge one in its place leaves that row's dual where it is.
void factorise(std::vector<double>& a, int n) {
  for (int j = 0; j < n; ++j) {
    double* row_j = a.data() + static_cast<size_t>(j) * static_cast<size_t>(n);
    const double diagonal = row_j[j];
    for (int i = j; i < n; ++i) {
      double* row_i = a.data() + static_cast<size_t>(i) * static_cast<size_t>(n);
      double sum = row_i[j];
      for (int k = 0; k < j; ++k) sum -= row_i[k] * row_j[k];
      if (i == j)
        row_j[j] = sum > kDependent * diagonal ? std::sqrt(sum) : 1e64;
      else
        row_i[j] = sum / row_j[j];
    }
  }
}

void solve_factorised(const std::vector<double>& a, int n, std::vector<double>& v) {
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < i; ++k)
      v[static_cast<size_t>(i)] -= a[static_cast<size_t>(i * n + k)] * v[static_cast<size_t>(k)];
    v[static_cast<size_t>(i)] /= a[static_cast<size_t>(i * n + i)];
  }
  for (int i = n; i-- > 0;) {
    for (int k = i + 1; k < n; ++k)
      v[static_cast<size_t>(i)] -= a[static_cast<size_t>(k * n + i)] * v[static_cast<size_t>(k)];
    v[static_cast<size_t>(i)] /= a[static_cast<size_t>(i * n + i)];
  }
}

double dot(const double* a, const double* b, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

/// Everything with one entry per variable: columns x, then taus, then slacks.
using Vector = std::vector<double>;

class InteriorPoint {
 public:
  explicit InteriorPoint(const BlockProgram& program);
  BlockSolution run(double accuracy);

 private:
  struct Direction {
    Vector z, r, y, w;
  };
  void start();
  void residuals();
  void factorise_normal();
  void add_products(const Vector& d, const Vector& scales);
  Direction solve_for(const Vector& complementarity);
  void apply(const Vector& z, Vector& rows, Vector& sums) const;            // M z
  void transposed(const Vector& y, const Vector& w, Vector& result) const;  // M^T (y, w)
  double average_product() const { return dot(z_.data(), r_.data(), n_) / n_; }
  static double longest_step(const Vector& at, const Vector& along);
  double relative_error() const;

  const BlockProgram& p_;
  int m_, columns_, taus_, n_, classes_;
  std::vector<int> class_of_;
  Vector z_, r_, y_, w_, cost_;
  Vector primal_rows_, primal_sums_, dual_;  // residuals
  Vector weight_, normal_, centre_, class_weight_;
};

InteriorPoint::InteriorPoint(const BlockProgram& program)
    : p_(program),
      m_(program.rows),
      columns_(program.column_count()),
      taus_(static_cast<int>(program.objective.size())),
      n_(columns_ + taus_ + m_),
      classes_(program.classes()) {
  class_of_.resize(static_cast<size_t>(columns_));
  for (int c = 0; c < classes_; ++c)
    for (int j = p_.class_start[static_cast<size_t>(c)]; j < p_.class_start[static_cast<size_t>(c) + 1]; ++j)
      class_of_[static_cast<size_t>(j)] = c;
  cost_.assign(static_cast<size_t>(n_), 0);
  std::copy(p_.objective.begin(), p_.objective.end(), cost_.begin() + columns_);
}

void InteriorPoint::apply(const Vector& z, Vector& rows, Vector& sums) const {
  rows.assign(static_cast<size_t>(m_), 0);
  sums.assign(static_cast<size_t>(classes_), 0);
  for (int j = 0; j < columns_; ++j) {
    const double x = z[static_cast<size_t>(j)];
    const double* column = p_.column(j);
    for (int k = 0; k < m_; ++k) rows[static_cast<size_t>(k)] += column[k] * x;
    sums[static_cast<size_t>(class_of_[static_cast<size_t>(j)])] += x;
  }
  for (const auto& link : p_.links)
    rows[static_cast<size_t>(link.row)] += link.value * z[static_cast<size_t>(columns_ + link.tau)];
  for (int k = 0; k < m_; ++k) rows[static_cast<size_t>(k)] += z[static_cast<size_t>(columns_ + taus_ + k)];
}

void InteriorPoint::transposed(const Vector& y, const Vector& w, Vector& result) const {
  result.assign(static_cast<size_t>(n_), 0);
  for (int j = 0; j < columns_; ++j)
    result[static_cast<size_t>(j)] =
        dot(p_.column(j), y.data(), m_) + w[static_cast<size_t>(class_of_[static_cast<size_t>(j)])];
  for (const auto& link : p_.links)
    result[static_cast<size_t>(columns_ + link.tau)] += link.value * y[static_cast<size_t>(link.row)];
  for (int k = 0; k < m_; ++k) result[static_cast<size_t>(columns_ + taus_ + k)] = y[static_cast<size_t>(k)];
}

void InteriorPoint::start() {
  z_.assign(static_cast<size_t>(n_), 1);
  for (int j = 0; j < columns_; ++j) {
    const auto c = static_cast<size_t>(class_of_[static_cast<size_t>(j)]);
    z_[static_cast<size_t>(j)] = 1.0 / (p_.class_start[c + 1] - p_.class_start[c]);
  }
  Vector rows, sums;
  apply(z_, rows, sums);
  for (int k = 0; k < m_; ++k) {
    double& slack = z_[static_cast<size_t>(columns_ + taus_ + k)];
    slack = std::max(0.1, p_.b[static_cast<size_t>(k)] - rows[static_cast<size_t>(k)] + slack);
  }
  y_.assign(static_cast<size_t>(m_), -0.1);
  w_.assign(static_cast<size_t>(classes_), 0);
  Vector reduced;
  transposed(y_, w_, reduced);
  for (int c = 0; c < classes_; ++c) {  // all reduced costs of a class above zero
    const int first = p_.class_start[static_cast<size_t>(c)], last = p_.class_start[static_cast<size_t>(c) + 1];
    double highest = reduced[static_cast<size_t>(first)], lowest = highest;
    for (int j = first; j < last; ++j) {
      highest = std::max(highest, reduced[static_cast<size_t>(j)]);
      lowest = std::min(lowest, reduced[static_cast<size_t>(j)]);
    }
    w_[static_cast<size_t>(c)] = -highest - 0.1 * (highest - lowest) - 1e-4;
  }
  transposed(y_, w_, reduced);
  r_.resize(static_cast<size_t>(n_));
  for (int i = 0; i < n_; ++i)
    r_[static_cast<size_t>(i)] = std::max(cost_[static_cast<size_t>(i)] - reduced[static_cast<size_t>(i)], 1e-3);
}

void InteriorPoint::residuals() {
  apply(z_, primal_rows_, primal_sums_);
  for (int k = 0; k < m_; ++k)
    primal_rows_[static_cast<size_t>(k)] = p_.b[static_cast<size_t>(k)] - primal_rows_[static_cast<size_t>(k)];
  for (double& sum : primal_sums_) sum = 1 - sum;
  transposed(y_, w_, dual_);
  for (int i = 0; i < n_; ++i)
    dual_[static_cast<size_t>(i)] =
        cost_[static_cast<size_t>(i)] - dual_[static_cast<size_t>(i)] - r_[static_cast<size_t>(i)];
}

double InteriorPoint::relative_error() const {
  double primal = 0, dual = 0, primal_residual = 0, dual_residual = 0;
  for (int i = 0; i < n_; ++i) primal += cost_[static_cast<size_t>(i)] * z_[static_cast<size_t>(i)];
  for (int k = 0; k < m_; ++k) {
    dual += p_.b[static_cast<size_t>(k)] * y_[static_cast<size_t>(k)];
    primal_residual = std::max(primal_residual, std::abs(primal_rows_[static_cast<size_t>(k)]));
  }
  for (double w : w_) dual += w;
  for (double v : primal_sums_) primal_residual = std::max(primal_residual, std::abs(v));
  for (double v : dual_) dual_residual = std::max(dual_residual, std::abs(v));
  return std::abs(primal - dual) / (1e-3 + std::abs(primal)) + primal_residual + dual_residual;
}

/// Adds sum_i scales[i] d_i d_i^T to the lower half of the normal matrix.
void InteriorPoint::add_products(const Vector& d, const Vector& scales) {
  const auto m = static_cast<size_t>(m_);
  const double *d0 = d.data(), *d1 = d0 + m, *d2 = d1 + m, *d3 = d2 + m;
  for (size_t k = 0; k < m; ++k) {
    const double s0 = scales[0] * d0[k], s1 = scales[1] * d1[k], s2 = scales[2] * d2[k], s3 = scales[3] * d3[k];
    if (s0 == 0 && s1 == 0 && s2 == 0 && s3 == 0) continue;
    double* row = normal_.data() + k * m;
    for (size_t l = 0; l <= k; ++l) row[l] += (s0 * d0[l] + s1 * d1[l]) + (s2 * d2[l] + s3 * d3[l]);
  }
}

/// The normal matrix with classes eliminated: sum over classes of sum_j d_j (a_j - mean)(a_j - mean)^T, which keeps its
/// digits where the difference of two large matrices would not.
void InteriorPoint::factorise_normal() {
  weight_.resize(static_cast<size_t>(n_));
  for (int i = 0; i < n_; ++i)
    weight_[static_cast<size_t>(i)] = z_[static_cast<size_t>(i)] / r_[static_cast<size_t>(i)];
  normal_.assign(static_cast<size_t>(m_) * static_cast<size_t>(m_), 0);
  centre_.assign(static_cast<size_t>(classes_) * static_cast<size_t>(m_), 0);
  class_weight_.assign(static_cast<size_t>(classes_), 0);
  // Four columns at a time: the matrix is what would be read and written most.
  Vector difference(kTogether * static_cast<size_t>(m_)), scales(kTogether);
  for (int c = 0; c < classes_; ++c) {
    const int first = p_.class_start[static_cast<size_t>(c)], last = p_.class_start[static_cast<size_t>(c) + 1];
    double* centre = centre_.data() + static_cast<size_t>(c) * static_cast<size_t>(m_);
    double total = 0;
    for (int j = first; j < last; ++j) total += weight_[static_cast<size_t>(j)];
    class_weight_[static_cast<size_t>(c)] = total;
    for (int j = first; j < last; ++j) {
      const double share = weight_[static_cast<size_t>(j)] / total;
      const double* column = p_.column(j);
      for (int k = 0; k < m_; ++k) centre[k] += share * column[k];
    }
    for (int j = first; j < last && last - first > 1; j += static_cast<int>(kTogether)) {
      for (size_t i = 0; i < kTogether; ++i) {
        double* of = difference.data() + i * static_cast<size_t>(m_);
        const int at = j + static_cast<int>(i);
        scales[i] = at < last ? weight_[static_cast<size_t>(at)] : 0;
        const double* column = p_.column(std::min(at, last - 1));
        for (int k = 0; k < m_; ++k) of[k] = column[k] - centre[k];
      }
      add_products(difference, scales);
    }
  }
  for (const auto& a : p_.links)
    for (const auto& b : p_.links)
      if (a.tau == b.tau && b.row <= a.row)
        normal_[static_cast<size_t>(a.row * m_ + b.row)] +=
            a.value * b.value * weight_[static_cast<size_t>(columns_ + a.tau)];
  for (int k = 0; k < m_; ++k)
    normal_[static_cast<size_t>(k * m_ + k)] += weight_[static_cast<size_t>(columns_ + taus_ + k)];
  factorise(normal_, m_);
}

/// The Newton direction that removes the residuals and sets z r to z r + complementarity.
InteriorPoint::Direction InteriorPoint::solve_for(const Vector& complementarity) {
  Vector h(static_cast<size_t>(n_));
  for (int i = 0; i < n_; ++i)
    h[static_cast<size_t>(i)] = complementarity[static_cast<size_t>(i)] / r_[static_cast<size_t>(i)] -
                                weight_[static_cast<size_t>(i)] * dual_[static_cast<size_t>(i)];
  Vector rows, sums;
  apply(h, rows, sums);
  Direction step;
  step.y.resize(static_cast<size_t>(m_));
  step.w.resize(static_cast<size_t>(classes_));
  for (int c = 0; c < classes_; ++c)
    sums[static_cast<size_t>(c)] = primal_sums_[static_cast<size_t>(c)] - sums[static_cast<size_t>(c)];
  for (int k = 0; k < m_; ++k)
    step.y[static_cast<size_t>(k)] = primal_rows_[static_cast<size_t>(k)] - rows[static_cast<size_t>(k)];
  for (int c = 0; c < classes_; ++c) {
    const double* centre = centre_.data() + static_cast<size_t>(c) * static_cast<size_t>(m_);
    for (int k = 0; k < m_; ++k) step.y[static_cast<size_t>(k)] -= centre[k] * sums[static_cast<size_t>(c)];
  }
  solve_factorised(normal_, m_, step.y);
  for (int c = 0; c < classes_; ++c) {
    const double* centre = centre_.data() + static_cast<size_t>(c) * static_cast<size_t>(m_);
    step.w[static_cast<size_t>(c)] =
        sums[static_cast<size_t>(c)] / class_weight_[static_cast<size_t>(c)] - dot(centre, step.y.data(), m_);
  }
  transposed(step.y, step.w, step.r);
  step.z.resize(static_cast<size_t>(n_));
  for (int i = 0; i < n_; ++i) {
    step.z[static_cast<size_t>(i)] =
        weight_[static_cast<size_t>(i)] * step.r[static_cast<size_t>(i)] + h[static_cast<size_t>(i)];
    step.r[static_cast<size_t>(i)] = dual_[static_cast<size_t>(i)] - step.r[static_cast<size_t>(i)];
  }
  return step;
}

double InteriorPoint::longest_step(const Vector& at, const Vector& along) {
  double step = 1e30;
  for (size_t i = 0; i < at.size(); ++i)
    if (along[i] < 0) step = std::min(step, -at[i] / along[i]);
  return step;
}

BlockSolution InteriorPoint::run(double accuracy) {
  start();
  BlockSolution best;
  best.relative_gap = 1e300;
  constexpr int kMaxIterations = 100;
  int since_best = 0;
  for (int iteration = 0; iteration < kMaxIterations; ++iteration) {
    residuals();
    const double error = relative_error();
    if (!std::isfinite(error)) break;
    if (error < best.relative_gap) {
      best = {{z_.begin(), z_.begin() + columns_},
              {z_.begin() + columns_, z_.begin() + columns_ + taus_},
              {},
              0,
              error,
              iteration};
      for (double y : y_) best.price.push_back(std::max(0.0, -y));
      since_best = 0;
    } else if (++since_best > 15) {
      break;
    }
    if (error < accuracy) break;
    factorise_normal();
    const double mu = average_product();
    Vector target(static_cast<size_t>(n_));
    for (int i = 0; i < n_; ++i)
      target[static_cast<size_t>(i)] = -z_[static_cast<size_t>(i)] * r_[static_cast<size_t>(i)];
    const Direction predictor = solve_for(target);
    const double ap = std::min(1.0, longest_step(z_, predictor.z)), ad = std::min(1.0, longest_step(r_, predictor.r));
    double after = 0;
    for (int i = 0; i < n_; ++i)
      after += (z_[static_cast<size_t>(i)] + ap * predictor.z[static_cast<size_t>(i)]) *
               (r_[static_cast<size_t>(i)] + ad * predictor.r[static_cast<size_t>(i)]);
    const double sigma = std::pow(after / n_ / mu, 3);
    for (int i = 0; i < n_; ++i)
      target[static_cast<size_t>(i)] +=
          sigma * mu - predictor.z[static_cast<size_t>(i)] * predictor.r[static_cast<size_t>(i)];
    Direction step = solve_for(target);
    const double damping = 0.9995 * std::max(0.9, 1 - 0.1 * mu);
    const auto step_length = [&](const Vector& at, const Vector& along) {
      return std::min(1.0, damping * longest_step(at, along));
    };
    double primal = step_length(z_, step.z), dual = step_length(r_, step.r);
    if (std::min(primal, dual) < kBlocked) {  // too far from the central path: go back to it first
      for (int i = 0; i < n_; ++i)
        target[static_cast<size_t>(i)] = kCentring * mu - z_[static_cast<size_t>(i)] * r_[static_cast<size_t>(i)];
      step = solve_for(target);
      primal = step_length(z_, step.z);
      dual = step_length(r_, step.r);
    }
    for (int i = 0; i < n_; ++i) {
      z_[static_cast<size_t>(i)] += primal * step.z[static_cast<size_t>(i)];
      r_[static_cast<size_t>(i)] += dual * step.r[static_cast<size_t>(i)];
    }
    for (int k = 0; k < m_; ++k) y_[static_cast<size_t>(k)] += dual * step.y[static_cast<size_t>(k)];
    for (int c = 0; c < classes_; ++c) w_[static_cast<size_t>(c)] += dual * step.w[static_cast<size_t>(c)];
  }
  SPARROW_CHECK(!best.x.empty(), "the linear programme has numbers that are not finite");
  for (int t = 0; t < taus_; ++t)
    best.objective += p_.objective[static_cast<size_t>(t)] * best.tau[static_cast<size_t>(t)];
  return best;
}

}  // namespace

BlockSolution solve(const BlockProgram& program, double accuracy) {
  SPARROW_CHECK(program.rows > 0 && program.classes() > 0, "an empty linear programme");
  return InteriorPoint(program).run(accuracy);
}

}  // namespace sparrow::placement
