// Which options a family has.
#include <algorithm>

#include "placement/solve/family.hpp"

namespace sparrow::placement {
namespace {

/// Most combinations of sites of one level that are listed one by one. Beyond it (many unlike domains with several
/// stores each) the domain types of a level all take their i-th site, for each i: a smaller family, whose bound is for
/// itself.
constexpr size_t kMaxCombinations = 64;

std::vector<std::vector<Site>> combinations(const std::vector<std::vector<Site>>& choices) {
  size_t product = 1, longest = 0;
  for (const auto& sites : choices) {
    product = std::min(product * sites.size(), kMaxCombinations + 1);
    longest = std::max(longest, sites.size());
  }
  std::vector<std::vector<Site>> result;
  if (product == 0) return result;
  if (product > kMaxCombinations) {
    for (size_t i = 0; i < longest; ++i) {
      result.emplace_back();
      for (const auto& sites : choices) result.back().push_back(sites[std::min(i, sites.size() - 1)]);
    }
    return result;
  }
  for (size_t index = 0; index < product; ++index) {
    result.emplace_back();
    size_t rest = index;
    for (const auto& sites : choices) {
      result.back().push_back(sites[rest % sites.size()]);
      rest /= sites.size();
    }
  }
  return result;
}

}  // namespace

std::vector<Option> family_options(const CostModel& model, const SolveOptions& options, const FamilyLimits& limits) {
  const Tree& tree = model.tree();
  std::vector<Option> result;
  for (int level = limits.least_level; level <= limits.most_level; ++level) {
    if (!options.copies_between && level != 0 && level != tree.depth()) continue;
    std::vector<std::vector<Site>> choices;
    for (int d : tree.at_level(level)) {
      choices.emplace_back();
      for (Site site : tree.sites_in(d)) {
        const bool allowed = tree.is_device(site) || std::find(limits.slow_sites.begin(), limits.slow_sites.end(),
                                                               site) != limits.slow_sites.end();
        if (allowed && model.capacity(site) > 0) choices.back().push_back(site);
      }
    }
    for (auto& sites : combinations(choices)) {
      const bool device_only = std::all_of(sites.begin(), sites.end(), [&](Site s) { return tree.is_device(s); });
      if (level == 0 || options.sparse_reduction) result.push_back({level, Reduction::sparse, sites});
      // A dense sum over rows that live in a slower store would drag all of them through it.
      if (level > 0 && options.dense_reduction && device_only) result.push_back({level, Reduction::dense, sites});
    }
  }
  return result;
}

}  // namespace sparrow::placement
