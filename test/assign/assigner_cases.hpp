// Batches to assign, and what an assignment costs, counted without the library.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "assign/assigner.hpp"

namespace sparrow::test {

/// Owns what an AssignerBatch looks at.
struct BatchCase {
  std::vector<int64_t> first{0}, keys, turn, quota;
  std::vector<int32_t> rows;
  std::vector<int16_t> holder;
  std::vector<float> weight;

  AssignerBatch batch() const { return {first, rows, keys, holder, turn, weight, quota}; }
  int64_t samples() const { return std::ssize(first) - 1; }

  /// A sample that looks up these keys; rows are numbered as they come, held by nobody.
  void add(const std::vector<int64_t>& of_sample) {
    for (const int64_t key : of_sample) {
      const auto [at, added] = number.try_emplace(key, static_cast<int32_t>(keys.size()));
      if (added) {
        keys.push_back(key);
        turn.push_back(key + 3);
        holder.push_back(AssignerBatch::kNobody);
      }
      rows.push_back(at->second);
    }
    first.push_back(std::ssize(rows));
  }
  /// As equal as can be, the first ranks have one more.
  void deal(int ranks) {
    quota.assign(ranks, samples() / ranks);
    for (int r = 0; r < samples() % ranks; ++r) ++quota[r];
  }
  std::map<int64_t, int32_t> number;
};

/// The rank of every sample when they are dealt in order.
inline std::vector<int16_t> as_read(const BatchCase& c) {
  std::vector<int16_t> ranks;
  for (size_t r = 0; r < c.quota.size(); ++r) ranks.insert(ranks.end(), c.quota[r], static_cast<int16_t>(r));
  return ranks;
}

/// Samples of `clusters` kinds: most of their keys are of their kind, the others of all; some keys are frequent, some
/// used once. Rows are held at random, by nobody, or (clustered) where their kind is.
struct RandomBatch {
  int ranks = 4, clusters = 8;
  int64_t samples = 200;
  int lookups = 10;
  double held = 0.7, clustered = 0.7;
  bool repeats = false, weighted = false;
};

inline BatchCase random_batch(const RandomBatch& of, std::mt19937& random) {
  BatchCase c;
  std::uniform_real_distribution<double> uniform;
  const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
  std::map<int64_t, int64_t> kind_of;
  for (int64_t s = 0; s < of.samples; ++s) {
    const int64_t kind = below(of.clusters);
    std::vector<int64_t> keys;
    for (int i = 0; i < of.lookups; ++i) {
      const auto nth = static_cast<int64_t>(20 * uniform(random) * uniform(random));
      const double u = uniform(random);
      int64_t key = u < 0.5 ? 1000 + kind * 100 + nth : u < 0.8 ? nth / 4 : 1000000 + below(1 << 20);
      if (!of.repeats && std::find(keys.begin(), keys.end(), key) != keys.end()) key = 1000000 + below(1 << 20);
      keys.push_back(key);
      kind_of[key] = kind;
    }
    c.add(keys);
  }
  for (size_t d = 0; d < c.keys.size(); ++d) {
    if (uniform(random) < of.held)
      c.holder[d] =
          static_cast<int16_t>(uniform(random) < of.clustered ? kind_of[c.keys[d]] % of.ranks : below(of.ranks));
    if (of.weighted) c.weight.push_back(static_cast<float>(64 << below(4)));
  }
  c.deal(of.ranks);
  return c;
}

/// Samples of each rank.
inline std::vector<int64_t> counted(const std::vector<int16_t>& rank_of_sample, size_t ranks) {
  std::vector<int64_t> samples(ranks, 0);
  for (const int16_t rank : rank_of_sample) ++samples.at(static_cast<size_t>(rank));
  return samples;
}

/// Weight of the rows that ranks of a flat system get from others; what nobody holds is held by one of those that look
/// it up.
inline double flat_cost(const BatchCase& c, const std::vector<int16_t>& rank_of_sample) {
  std::vector<std::set<int>> ranks(c.keys.size());
  for (int64_t s = 0; s < c.samples(); ++s)
    for (int64_t i = c.first[s]; i < c.first[s + 1]; ++i) ranks[c.rows[i]].insert(rank_of_sample[s]);
  double cost = 0;
  for (size_t d = 0; d < ranks.size(); ++d) {
    const int holder = c.holder[d] >= 0 ? c.holder[d] : *ranks[d].begin();
    cost += (c.weight.empty() ? 1.0 : c.weight[d]) * static_cast<double>(ranks[d].size() - ranks[d].count(holder));
  }
  return cost;
}

}  // namespace sparrow::test
