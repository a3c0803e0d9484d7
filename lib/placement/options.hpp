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
  for (const placement::Strategy strategy : placement::all_strategies())
    words.push_back(placement::strategy_name(strategy));
  return words;
}();

/// Who holds a row; given: by a partition file.
enum class HolderChoice : uint8_t { automatic, arithmetic, first_use, given };
template <>
inline constexpr Word kWords<HolderChoice>[] = {"auto", "arithmetic", "first_use", {"", kLater}};

/// Who trains a sample.
enum class AssignmentChoice : uint8_t { automatic, contiguous, local };
template <>
inline constexpr Word kWords<AssignmentChoice>[] = {"auto", "contiguous", "local"};

struct PlacementOptions {
  std::optional<placement::Strategy> strategy;  ///< none: the optimum
  std::string plan;                             ///< a file to use instead of planning; empty: none
  bool deduplicate = true;
  bool combine = true;
  WordOr<HolderChoice, std::string> holders;
  AssignmentChoice assignment = AssignmentChoice::automatic;
  int assignment_delay = 0;    ///< W of SampleAssignment; 0: the plan's choice
  int assignment_passes = -1;  ///< -1: the plan's choice
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
  visit("assignment_delay", options.assignment_delay, Integers{0});
  visit("assignment_passes", options.assignment_passes, Integers{-1});
  visit("replan_every", options.replan_every, Integers{0});
  visit.require(options.replan_every == 0 || !options.strategy, {"replan_every"},
                "needs placement.strategy: optimal, not {}", word_of(options.strategy).text);
}

}  // namespace sparrow
