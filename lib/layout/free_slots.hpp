// Runs of free slots of one store, from which rows that come get theirs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

namespace sparrow {

class FreeSlots {
 public:
  struct Run {
    int64_t first = 0, count = 0;
  };

  void add(int64_t first, int64_t count) {
    if (count > 0) runs_[first] = count;
  }

  /// Takes up to `count` consecutive slots, at least one: those from `preferred` on if it is free, else the lowest. An
  /// empty run if none is free.
  Run take(int64_t preferred, int64_t count) {
    if (runs_.empty()) return {};
    auto at = runs_.find(preferred);
    if (at == runs_.end()) at = runs_.begin();
    const auto [first, length] = *at;
    runs_.erase(at);
    const int64_t taken = std::min(count, length);
    add(first + taken, length - taken);
    return {first, taken};
  }

 private:
  std::map<int64_t, int64_t> runs_;  ///< first -> count
};

}  // namespace sparrow
