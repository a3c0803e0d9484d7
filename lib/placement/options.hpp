// Section `placement` of the configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.hpp"
#include "placement/baselines/strategies.hpp"

namespace sparrow {

template <>
inline const std::vector<Word> kWords<std::optional<placement::Strategy>> = [] {
  std::vector<Word> words = {"optimal"};
  for (int i = 0; i < placement::kStrategies; ++i)
    words.push_back(placement::strategy_name(static_cast<placement::Strategy>(i)));
  return words;
}();

/// Who holds a row; given: by a partition file.
enum class HolderMap : uint8_t { arithmetic, first_use, given };
template <>
inline constexpr Word kWords<HolderMap>[] = {"arithmetic", {"first_use", kLater}, {"", kLater}};

/// Who trains a sample.
enum class Assignment : uint8_t { contiguous, local };
template <>
inline constexpr Word kWords<Assignment>[] = {"contiguous", {"local", kLater}};

struct PlacementOptions {
  std::optional<placement::Strategy> strategy;  ///< none: the optimum
  std::string plan;                             ///< a file to use instead of planning; empty: none
  bool deduplicate = true;
  bool combine = true;
  WordOr<HolderMap, std::string> holders;
  Assignment assignment = Assignment::contiguous;
  int64_t replan_every = 0;
};

template <class Visitor>
void visit_fields(Visitor& visit, PlacementOptions& options) {
  visit("strategy", options.strategy);
  visit("plan", options.plan);
  visit("deduplicate", options.deduplicate);
  visit("combine", options.combine);
  visit("holders", options.holders);
  visit("assignment", options.assignment);
  visit("replan_every", options.replan_every, Integers{0});
  visit.require(options.replan_every == 0 || !options.strategy, {"replan_every"},
                "needs placement.strategy: optimal, not {}", word_of(options.strategy).text);
}

}  // namespace sparrow
