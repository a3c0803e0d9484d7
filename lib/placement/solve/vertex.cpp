// From any point to a vertex with the same loads: while more than m directions x_j - x_j' within classes are free, some
// combination of m + 1 of them changes no load; moving along it until an entry reaches zero removes one (Caratheodory's
// theorem, constructively).
#include <algorithm>
#include <cmath>
#include <vector>

#include "placement/solve/interior_point.hpp"

namespace sparrow::placement {
namespace {

struct Free {  // an exchange within a class: x[to] grows, x[from] shrinks
  int to, from;
};

/// Coefficients z, not all zero, with sum z_i * direction_i = 0, for one direction more than rows; Gaussian elimination
/// with full pivoting.
std::vector<double> null_combination(const BlockProgram& program, const std::vector<Free>& directions) {
  const auto m = static_cast<size_t>(program.rows), n = directions.size();
  std::vector<std::vector<double>> a(m, std::vector<double>(n));
  for (size_t i = 0; i < n; ++i) {
    const double *to = program.column(directions[i].to), *from = program.column(directions[i].from);
    for (size_t k = 0; k < m; ++k) a[k][i] = to[k] - from[k];
  }
  std::vector<size_t> order(n);
  for (size_t i = 0; i < n; ++i) order[i] = i;
  size_t rank = 0;
  for (; rank < m && rank < n; ++rank) {
    size_t row = rank, column = rank;
    for (size_t k = rank; k < m; ++k)
      for (size_t i = rank; i < n; ++i)
        if (std::abs(a[k][order[i]]) > std::abs(a[row][order[column]])) row = k, column = i;
    if (std::abs(a[row][order[column]]) < 1e-13) break;
    std::swap(a[rank], a[row]);
    std::swap(order[rank], order[column]);
    for (size_t k = rank + 1; k < m; ++k) {
      const double factor = a[k][order[rank]] / a[rank][order[rank]];
      if (factor == 0) continue;
      for (size_t i = rank; i < n; ++i) a[k][order[i]] -= factor * a[rank][order[i]];
    }
  }
  std::vector<double> z(n, 0);
  if (rank == n) return z;
  z[order[rank]] = 1;
  for (size_t k = rank; k-- > 0;) {
    double sum = a[k][order[rank]];
    for (size_t i = k + 1; i < rank; ++i) sum += a[k][order[i]] * z[order[i]];
    z[order[k]] = -sum / a[k][order[k]];
  }
  return z;
}

/// Moves along sum z_i direction_i, in the given sense, until an entry reaches zero. Returns whether one did.
void move(const std::vector<Free>& directions, const std::vector<double>& z, std::vector<double>& x) {
  std::vector<std::pair<int, double>> change;
  for (size_t i = 0; i < directions.size(); ++i) {
    if (z[i] == 0) continue;
    change.emplace_back(directions[i].to, z[i]);
    change.emplace_back(directions[i].from, -z[i]);
  }
  std::sort(change.begin(), change.end());
  size_t kept = 0;
  for (size_t i = 0; i < change.size(); ++i) {
    if (kept > 0 && change[kept - 1].first == change[i].first)
      change[kept - 1].second += change[i].second;
    else
      change[kept++] = change[i];
  }
  change.resize(kept);
  double forwards = 1e300, backwards = 1e300;
  for (const auto& [j, rate] : change) {
    if (rate < 0) forwards = std::min(forwards, x[j] / -rate);
    if (rate > 0) backwards = std::min(backwards, x[j] / rate);
  }
  const double step = forwards <= backwards ? forwards : -backwards;
  for (const auto& [j, rate] : change) {
    double& value = x[j];
    value += step * rate;
    if (value < 1e-12) value = 0;
  }
}

}  // namespace

void drop_slivers(const BlockProgram& program, std::vector<double>& x, double drop) {
  for (int c = 0; c < program.classes(); ++c) {
    const int first = program.class_start[c], last = program.class_start[static_cast<size_t>(c) + 1];
    double sum = 0;
    for (int j = first; j < last; ++j) {
      double& value = x[j];
      if (value < drop) value = 0;
      sum += value;
    }
    for (int j = first; j < last; ++j) x[j] /= sum;
  }
}

void to_vertex(const BlockProgram& program, std::vector<double>& x, double drop) {
  const int classes = program.classes();
  drop_slivers(program, x, drop);
  std::vector<Free> directions;
  int c = 0;  // the next class to take in
  const auto refill = [&] {
    std::erase_if(directions, [&](const Free& d) { return x[d.to] == 0; });
    while (c < classes && directions.size() <= static_cast<size_t>(program.rows)) {
      const int first = program.class_start[c], last = program.class_start[static_cast<size_t>(c) + 1];
      int key = -1;  // the column that the others of the class exchange with
      for (int j = first; j < last && key < 0; ++j)
        if (x[j] > 0) key = j;
      for (int j = key + 1; j < last; ++j)
        if (x[j] > 0) directions.push_back({j, key});
      ++c;
    }
  };
  for (;;) {
    refill();
    if (directions.size() <= static_cast<size_t>(program.rows)) break;
    const size_t used = static_cast<size_t>(program.rows) + 1;
    const std::vector<Free> some(directions.begin(), directions.begin() + static_cast<std::ptrdiff_t>(used));
    move(some, null_combination(program, some), x);
    // A key that reached zero hands its role to another column of its class.
    for (size_t i = 0; i < directions.size(); ++i) {
      const int key = directions[i].from;
      if (x[key] > 0) continue;
      int heir = -1;
      for (const Free& d : directions)
        if (d.from == key && x[d.to] > 0) heir = heir < 0 ? d.to : heir;
      std::vector<Free> kept;
      for (const Free& d : directions) {
        if (d.from != key)
          kept.push_back(d);
        else if (d.to != heir && x[d.to] > 0)
          kept.push_back({d.to, heir});
      }
      directions = std::move(kept);
      i = static_cast<size_t>(-1);  // start again
    }
  }
}

}  // namespace sparrow::placement
