#include "placement/solve/dense_algebra.hpp"

#include <cmath>
#include <cstddef>

namespace sparrow::placement {
namespace {

constexpr double kDependent = 1e-15;  // of its diagonal entry, left of a pivot

}  // namespace

double dot(const double* a, const double* b, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

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
    for (int k = 0; k < i; ++k) v[i] -= a[i * n + k] * v[k];
    v[i] /= a[i * n + i];
  }
  for (int i = n; i-- > 0;) {
    for (int k = i + 1; k < n; ++k) v[i] -= a[k * n + i] * v[k];
    v[i] /= a[i * n + i];
  }
}

}  // namespace sparrow::placement
