#include "layout/hierarchy.hpp"

#include <algorithm>
#include <numeric>

namespace sparrow {

Hierarchy::Hierarchy(std::vector<std::vector<int>> domain_of, const std::vector<char>& proxies)
    : domain_of_(std::move(domain_of)) {
  SPARROW_CHECK(!domain_of_.empty() && !domain_of_[0].empty());
  const int n = ranks();
  SPARROW_CHECK(proxies.empty() || static_cast<int>(proxies.size()) == n);
  for (int level = 0; level <= depth(); ++level) {
    const auto& of_rank = domain_of_[level];
    SPARROW_CHECK(static_cast<int>(of_rank.size()) == n && *std::min_element(of_rank.begin(), of_rank.end()) >= 0);
    members_.emplace_back(*std::max_element(of_rank.begin(), of_rank.end()) + 1);
    rings_.emplace_back(domains(level));
    for (int rank = 0; rank < n; ++rank) {
      members_[level][of_rank[rank]].push_back(rank);
      if (proxies.empty() || proxies[rank]) rings_[level][of_rank[rank]].push_back(rank);
    }
    if (level > 0) children_.emplace_back(domains(level - 1));
    for (int d = 0; d < domains(level); ++d) {
      const auto& ranks = members(level, d);
      SPARROW_CHECK(!ranks.empty(), "domain {} of level {} has no rank", d, level);
      if (rings_[level][d].empty()) rings_[level][d] = ranks;  // ranks that only ask still need proxies
      if (level == 0) continue;
      const int above = domain(level - 1, ranks[0]);
      for (const int rank : ranks)
        SPARROW_CHECK(domain(level - 1, rank) == above, "domain {} of level {} is in two domains of the level above", d,
                      level);
      children_.back()[above].push_back(d);
    }
  }
  SPARROW_CHECK(domains(0) == 1 && domains(depth()) == n, "the root must be one domain and every rank its own");
}

Hierarchy Hierarchy::flat(int ranks) {
  std::vector<int> own(ranks);
  std::iota(own.begin(), own.end(), 0);
  if (ranks == 1) return Hierarchy({own});
  return Hierarchy({std::vector<int>(ranks, 0), own});
}

}  // namespace sparrow
