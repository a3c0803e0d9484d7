// Section `placement` of the configuration.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.hpp"
#include "placement/baselines/strategies.hpp"

namespace sparrow {

namespace placement {

/// None: the optimum.
inline std::vector<Word<std::optional<Strategy>>> words_of(const std::optional<Strategy>&) {
  std::vector<Word<std::optional<Strategy>>> words = {{"optimal", std::nullopt}};
  for (int i = 0; i < kStrategies; ++i)
    words.push_back({strategy_name(static_cast<Strategy>(i)), static_cast<Strategy>(i)});
  return words;
}

}  // namespace placement

/// Who holds a row; given: by a partition file.
enum class Holders : uint8_t { arithmetic, first_use, given };
constexpr auto words_of(Holders) {
  return std::to_array<Word<Holders>>(
      {{"arithmetic", Holders::arithmetic}, {"first_use", Holders::first_use, true}, {"", Holders::given, true}});
}

/// Who trains a sample.
enum class Assignment : uint8_t { contiguous, local };
constexpr auto words_of(Assignment) {
  return std::to_array<Word<Assignment>>({{"contiguous", Assignment::contiguous}, {"local", Assignment::local, true}});
}

struct PlacementOptions {
  std::optional<placement::Strategy> strategy;  ///< none: the optimum
  std::string plan;                             ///< a file to use instead of planning; empty: none
  bool deduplicate = true;
  bool combine = true;
  WordOr<Holders, std::string> holders;
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
  visit("replan_every", options.replan_every, at_least(0));
  visit.require(options.replan_every == 0 || !options.strategy, {"replan_every"},
                "needs placement.strategy: optimal, not {}", word_of(options.strategy));
}

}  // namespace sparrow
