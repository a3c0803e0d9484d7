// The ranks that hold rows of an interval in one domain, and the rule that says which of them has which row.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "placement/model/holder_rule.hpp"

namespace sparrow {

using placement::HolderRule;

struct Holders {
  HolderRule rule;
  std::span<const int> ranks;  ///< by number of the holder, each once; one alone where the rule fixes it

  Holders() = default;
  Holders(const HolderRule& of, std::span<const int> ring)
      : rule(of), ranks(of.fixed < 0 ? ring : ring.subspan(of.fixed % ring.size(), 1)) {}

  int64_t k() const { return static_cast<int64_t>(ranks.size()); }
  int rank(int64_t position) const { return ranks[rule.holder(position, k())]; }

  /// The rank's number among them; -1: it holds none of these rows.
  int64_t number_of(int rank) const {
    const auto found = std::find(ranks.begin(), ranks.end(), rank);
    return found == ranks.end() ? -1 : found - ranks.begin();
  }
  /// Rows of positions first .. last - 1 that holder `number` has; none for -1.
  int64_t count(int64_t first, int64_t last, int64_t number) const {
    return number < 0 ? 0 : rule.count(first, last, number, k());
  }
  /// Whether every row has the same holder with both.
  bool operator==(const Holders& other) const {
    return std::ranges::equal(ranks, other.ranks) && rule.same(other.rule, k());
  }
};

}  // namespace sparrow
