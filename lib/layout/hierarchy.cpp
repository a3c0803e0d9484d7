#include "layout/hierarchy.hpp"

#include <algorithm>
#include <numeric>

namespace sparrow {

Hierarchy::Hierarchy(std::vector<std::vector<int>> domain_of, std::vector<int> ring_weight)
    : domain_of_(std::move(domain_of)) {
  SPARROW_CHECK(!domain_of_.empty() && !domain_of_[0].empty());
  const size_t n = domain_of_[0].size();
  if (ring_weight.empty()) ring_weight.assign(n, 1);
  SPARROW_CHECK(ring_weight.size() == n);
  for (size_t level = 0; level < domain_of_.size(); ++level) {
    const auto& of = domain_of_[level];
    SPARROW_CHECK(of.size() == n);
    const int domains = *std::max_element(of.begin(), of.end()) + 1;
    members_.emplace_back(domains);
    rings_.emplace_back(domains);
    for (size_t rank = 0; rank < n; ++rank) {
      SPARROW_CHECK(of[rank] >= 0);
      members_[level][of[rank]].push_back(static_cast<int>(rank));
    }
    for (int d = 0; d < domains; ++d) {
      const auto& ranks = members_[level][d];
      SPARROW_CHECK(!ranks.empty(), "domain {} of level {} has no rank", d, level);
      for (const int rank : ranks)
        SPARROW_CHECK(
            level == 0 || domain(static_cast<int>(level) - 1, rank) == domain(static_cast<int>(level) - 1, ranks[0]),
            "domain {} of level {} is in two domains of the level above", d, level);
      // Weighted ranks take turns instead of standing in one run, so that neighbouring positions spread.
      auto& ring = rings_[level][d];
      const int rounds = std::accumulate(ranks.begin(), ranks.end(), 0,
                                         [&](int most, int r) { return std::max(most, ring_weight[r]); });
      for (int round = 0; round < rounds; ++round)
        for (const int rank : ranks)
          if (ring_weight[rank] > round) ring.push_back(rank);
      if (ring.empty()) ring = ranks;  // a domain of ranks that hold nothing of their own still needs proxies
    }
  }
  for (int level = 0; level < depth(); ++level) {
    children_.emplace_back(domains(level));
    for (int d = 0; d < domains(level + 1); ++d) children_.back()[domain(level, members(level + 1, d)[0])].push_back(d);
  }
  SPARROW_CHECK(domains(0) == 1 && domains(depth()) == static_cast<int>(n),
                "the root must be one domain and every rank its own");
}

Hierarchy Hierarchy::flat(int ranks) {
  std::vector<int> own(ranks);
  std::iota(own.begin(), own.end(), 0);
  if (ranks == 1) return Hierarchy({own});
  return Hierarchy({std::vector<int>(ranks, 0), own});
}

}  // namespace sparrow
