#include "kernels/cuda/arena.hpp"

#include <algorithm>
#include <iterator>

#include "base/error.hpp"

namespace sparrow::cuda {

Arena::Arena(int64_t bytes) : bytes_(bytes / kAlignment * kAlignment), free_bytes_(bytes_) {
  SPARROW_CHECK(bytes >= 0, "an arena of {} bytes", bytes);
  if (bytes_ > 0) free_.emplace(0, bytes_);
}

std::optional<int64_t> Arena::take(int64_t bytes) {
  SPARROW_CHECK(bytes > 0, "{} bytes of an arena", bytes);
  if (bytes > bytes_) return std::nullopt;  // before rounding up, which could overflow
  const int64_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const auto run = std::find_if(free_.begin(), free_.end(), [&](const auto& r) { return r.second >= rounded; });
  if (run == free_.end()) return std::nullopt;
  const auto [offset, length] = *run;
  free_.erase(run);
  if (length > rounded) free_.emplace(offset + rounded, length - rounded);
  taken_.emplace(offset, rounded);
  free_bytes_ -= rounded;
  return offset;
}

void Arena::give_back(int64_t offset) {
  const auto taken = taken_.find(offset);
  SPARROW_CHECK(taken != taken_.end(), "offset {} of an arena is not taken", offset);
  int64_t begin = offset, end = offset + taken->second;
  free_bytes_ += taken->second;
  taken_.erase(taken);
  auto after = free_.lower_bound(begin);
  if (after != free_.end() && after->first == end) {
    end += after->second;
    after = free_.erase(after);
  }
  if (after != free_.begin() && std::prev(after)->first + std::prev(after)->second == begin) {
    begin = std::prev(after)->first;
    free_.erase(std::prev(after));
  }
  free_.emplace(begin, end - begin);
}

int64_t Arena::longest_free_run() const {
  int64_t longest = 0;
  for (const auto& [offset, length] : free_) longest = std::max(longest, length);
  return longest;
}

}  // namespace sparrow::cuda
