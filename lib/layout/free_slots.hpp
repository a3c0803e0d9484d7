// Runs of free slots of one store, from which rows that come get theirs, and to which rows that leave give them back.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>

namespace sparrow {

class FreeSlots {
 public:
  struct Run {
    int64_t first = 0, count = 0;
  };

  int64_t total() const { return total_; }

  /// These are free now, and were not.
  void add(int64_t first, int64_t count) {
    if (count <= 0) return;
    total_ += count;
    auto after = runs_.lower_bound(first);
    if (after != runs_.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second == first) {
        first = before->first;
        count += before->second;
        runs_.erase(before);
      }
    }
    if (after != runs_.end() && after->first == first + count) {
      count += after->second;
      after = runs_.erase(after);
    }
    runs_.emplace_hint(after, first, count);
  }

  /// Takes up to `count` consecutive slots, at least one: those from `preferred` on if it is free, else the lowest. An
  /// empty run if none is free.
  Run take(int64_t preferred, int64_t count) {
    if (runs_.empty()) return {};
    auto at = runs_.find(preferred);
    if (at == runs_.end()) at = runs_.begin();
    const auto [first, length] = *at;
    const int64_t taken = std::min(count, length);
    total_ -= taken;
    const auto after = runs_.erase(at);
    if (taken < length) runs_.emplace_hint(after, first + taken, length - taken);
    return {first, taken};
  }

  /// The same, but the last slots of the last run.
  Run take_last(int64_t count) {
    if (runs_.empty()) return {};
    const auto at = std::prev(runs_.end());
    const int64_t taken = std::min(count, at->second);
    total_ -= taken;
    const Run run{at->first + at->second - taken, taken};
    if ((at->second -= taken) == 0) runs_.erase(at);
    return run;
  }

 private:
  std::map<int64_t, int64_t> runs_;  ///< first -> count; never two without a slot between them
  int64_t total_ = 0;
};

}  // namespace sparrow
