#include "access/good_turing.hpp"

#include <algorithm>
#include <cmath>

namespace sparrow {

std::vector<double> adjusted_counts(const Histogram& histogram) {
  std::vector<CountBin> up(histogram.rbegin(), histogram.rend());  // by rising count
  if (!up.empty() && up.front().count == 0) up.erase(up.begin());
  const size_t n = up.size();
  std::vector<double> adjusted(n);
  double mean_x = 0, mean_y = 0, xx = 0, xy = 0;
  std::vector<double> x(n), y(n);
  for (size_t i = 0; i < n; ++i) {
    const double below = i == 0 ? 0 : static_cast<double>(up[i - 1].count);
    const double above =
        i + 1 == n ? 2 * static_cast<double>(up[i].count) - below : static_cast<double>(up[i + 1].count);
    x[i] = std::log(static_cast<double>(up[i].count));
    y[i] = std::log(2 * static_cast<double>(up[i].rows) / (above - below));
    mean_x += x[i] / static_cast<double>(n);
    mean_y += y[i] / static_cast<double>(n);
  }
  for (size_t i = 0; i < n; ++i) {
    xx += (x[i] - mean_x) * (x[i] - mean_x);
    xy += (x[i] - mean_x) * (y[i] - mean_y);
  }
  const double slope = xx > 0 ? std::min(-1.0, xy / xx) : -1.0;  // above -1 the method does not apply: r* = r
  bool turing = true;
  for (size_t i = 0; i < n; ++i) {
    const double r = static_cast<double>(up[i].count);
    const double fitted = r * std::pow(1 + 1 / r, slope + 1);
    adjusted[i] = fitted;
    turing = turing && i + 1 < n && up[i + 1].count == up[i].count + 1;
    if (!turing) continue;
    const double here = static_cast<double>(up[i].rows), next = static_cast<double>(up[i + 1].rows);
    const double estimate = (r + 1) * next / here;
    const double deviation = (r + 1) * std::sqrt(next / (here * here) * (1 + next / here));
    turing = std::abs(estimate - fitted) > 1.96 * deviation;
    if (turing) adjusted[i] = estimate;
  }
  std::reverse(adjusted.begin(), adjusted.end());
  return adjusted;
}

void make_monotone(const std::vector<int64_t>& rows, std::vector<double>& p) {
  struct Block {
    double rows, mass;
    size_t classes;
  };
  std::vector<Block> blocks;
  for (size_t c = 0; c < rows.size(); ++c) {
    const double n = static_cast<double>(rows[c]);
    blocks.push_back({n, n * p[c], 1});
    while (blocks.size() > 1) {
      const Block last = blocks.back();
      Block& before = blocks[blocks.size() - 2];
      if (before.mass * last.rows >= last.mass * before.rows) break;
      before = {before.rows + last.rows, before.mass + last.mass, before.classes + last.classes};
      blocks.pop_back();
    }
  }
  size_t c = 0;
  for (const Block& block : blocks)
    for (size_t i = 0; i < block.classes; ++i) p[c++] = block.mass / block.rows;
}

}  // namespace sparrow
