#include "placement/model/distribution.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.hpp"

namespace sparrow::placement {

int64_t TableDistribution::total_rows() const {
  return std::accumulate(rows.begin(), rows.end(), int64_t{0});
}

void validate(const TableDistribution& distribution, const std::string& what) {
  if (distribution.rows.empty()) fail("{}: no rows", what);
  if (distribution.p.empty()) fail("{}: no probabilities", what);
  double total = 0;
  for (int64_t n : distribution.rows) {
    if (n < 1) fail("{}: a class of {} rows", what, n);
    total += static_cast<double>(n);
  }
  if (total > 4e18) fail("{}: more rows than fit in 64 bits", what);
  for (size_t g = 0; g < distribution.p.size(); ++g) {
    if (distribution.p[g].size() != distribution.rows.size())
      fail("{}: group {} has {} probabilities for {} classes", what, g, distribution.p[g].size(),
           distribution.rows.size());
    double mass = 0;
    for (size_t c = 0; c < distribution.rows.size(); ++c) {
      const double p = distribution.p[g][c];
      if (!(p >= 0 && p <= 1)) fail("{}: class {} of group {} has probability {}", what, c, g, p);
      mass += static_cast<double>(distribution.rows[c]) * p;
    }
    if (mass > 1 + 1e-6) fail("{}: the probabilities of group {} sum to {}", what, g, mass);
  }
}

double grouping_error_of(double ratio) {
  if (ratio <= 1) return 0;
  // Worst case for a concave function and a given mean: the values sit at both ends of the interval.
  double worst = 0;
  for (int i = 0; i <= 60; ++i) {
    const double high = 1e-2 * std::pow(10.0, i / 15.0), low = high / ratio;  // 1e-2 .. 1e2
    const double f_low = -std::expm1(-low), f_high = -std::expm1(-high);
    for (int k = 1; k < 16; ++k) {
      const double t = k / 16.0;
      worst = std::max(worst, 1 - (f_low + t * (f_high - f_low)) / -std::expm1(-(low + t * (high - low))));
    }
  }
  return worst;
}

}  // namespace sparrow::placement
