// Rows with like counts in every group become classes, and positions go by class.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "access/group_counts.hpp"
#include "base/error.hpp"

namespace sparrow {

namespace {

int octave(int64_t count) {
  return static_cast<int>(std::bit_width(static_cast<uint64_t>(count)));
}

/// Counts up to `exact` are buckets of their own, larger ones share one within `ratio`.
struct Buckets {
  int64_t exact;
  double ratio;

  uint16_t of(int64_t count) const {
    if (count <= exact) return static_cast<uint16_t>(count);
    const double beyond = std::log(static_cast<double>(count) / static_cast<double>(exact)) / std::log(ratio);
    return static_cast<uint16_t>(exact + 1 + static_cast<int64_t>(beyond));
  }
  /// Where a bucket begins.
  int64_t first_of(uint16_t bucket) const {
    if (bucket <= exact) return bucket;
    return static_cast<int64_t>(static_cast<double>(exact) * std::pow(ratio, static_cast<double>(bucket - exact - 1)));
  }
};

/// From fine to coarse. ln(2^63) / ln(1.1) < 2^16. With the last a class says which groups know a row, and its octave.
constexpr std::array<Buckets, 7> kBuckets = {
    {{16, 1.1}, {8, 1.25}, {4, 1.5}, {2, 2}, {1, 8}, {1, 1024}, {1, std::numeric_limits<double>::max()}}};

/// The rows of one table that some group has seen, with a count for each group.
class Rows {
 public:
  static constexpr int64_t kUses = 4;  ///< who looks up a row at least 1 / kUses as often as its most frequent user

  explicit Rows(std::span<const SeenRows* const> of_group) : groups_(of_group.size()) {
    for (const SeenRows* group : of_group) ids_.insert(ids_.end(), group->ids.begin(), group->ids.end());
    std::sort(ids_.begin(), ids_.end());
    ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
    counts_.assign(ids_.size() * groups_, 0);
    for (size_t g = 0; g < groups_; ++g) {
      size_t i = 0;
      for (size_t k = 0; k < of_group[g]->ids.size(); ++k) {
        while (ids_[i] != of_group[g]->ids[k]) ++i;
        counts_[i * groups_ + g] = of_group[g]->counts[k];
      }
    }
    for (size_t i = 0; i < ids_.size(); ++i) {
      const auto counts = counts_of(i);
      octaves_.push_back(octave(std::accumulate(counts.begin(), counts.end(), int64_t{0})));
    }
  }

  size_t size() const { return ids_.size(); }
  int32_t id(size_t i) const { return ids_[i]; }
  std::span<const int64_t> counts_of(size_t i) const { return std::span(counts_).subspan(i * groups_, groups_); }

  void put_into(const Buckets& buckets) {
    buckets_.clear();
    bucket_octaves_.clear();
    for (const int64_t count : counts_) {
      buckets_.push_back(buckets.of(count));
      bucket_octaves_.push_back(static_cast<uint8_t>(octave(buckets.first_of(buckets_.back()))));
    }
    users_.clear();
    for (size_t i = 0; i < size(); ++i) {
      const std::span<const uint16_t> of_row = std::span(buckets_).subspan(i * groups_, groups_);
      const int64_t most = buckets.first_of(*std::max_element(of_row.begin(), of_row.end()));
      uint64_t users = 0;
      for (const uint16_t bucket : of_row) users = 2 * users + (kUses * buckets.first_of(bucket) >= most ? 1 : 0);
      users_.push_back(users);
    }
  }
  bool same_class(size_t i, size_t j) const { return octaves_[i] == octaves_[j] && compare(buckets_, i, j) == 0; }
  /// Whether row i's position is before that of row j.
  bool before(size_t i, size_t j) const {
    if (users_[i] != users_[j]) {
      const int a = std::popcount(users_[i]), b = std::popcount(users_[j]);
      return a != b ? a > b : users_[i] > users_[j];
    }
    if (octaves_[i] != octaves_[j]) return octaves_[i] > octaves_[j];
    int order = compare(bucket_octaves_, i, j);
    if (order == 0) order = compare(buckets_, i, j);
    return order != 0 ? order > 0 : ids_[i] < ids_[j];
  }

 private:
  /// By the first group in which they differ.
  template <class Number>
  int compare(const std::vector<Number>& numbers, size_t i, size_t j) const {
    for (size_t g = 0; g < groups_; ++g)
      if (const int difference = numbers[i * groups_ + g] - numbers[j * groups_ + g]; difference != 0)
        return difference;
    return 0;
  }

  size_t groups_;
  std::vector<int32_t> ids_;
  std::vector<int64_t> counts_;  ///< [row][group]
  std::vector<int> octaves_;     ///< of all groups' lookups
  std::vector<uint16_t> buckets_;
  std::vector<uint8_t> bucket_octaves_;
  std::vector<uint64_t> users_;  ///< a bit for each group
};

}  // namespace

GroupedTable group_rows(std::span<const SeenRows* const> of_group, int64_t rows, size_t most_classes) {
  Rows seen(of_group);
  std::vector<size_t> order(seen.size());
  std::iota(order.begin(), order.end(), size_t{0});
  GroupedTable result;
  for (const Buckets& buckets : kBuckets) {
    seen.put_into(buckets);
    std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return seen.before(i, j); });
    result.classes.clear();
    result.ratio = buckets.ratio;
    for (size_t k = 0; k < order.size(); ++k) {
      if (k == 0 || !seen.same_class(order[k - 1], order[k]))
        result.classes.push_back({0, std::vector<int64_t>(of_group.size(), 0)});
      GroupCountBin& of_class = result.classes.back();
      ++of_class.rows;
      for (size_t g = 0; g < of_group.size(); ++g) of_class.lookups[g] += seen.counts_of(order[k])[g];
    }
    if (result.classes.size() <= most_classes) break;
  }
  result.positions.assign(rows, -1);
  int32_t next = 0;
  for (const size_t i : order) result.positions[seen.id(i)] = next++;
  const int64_t unseen = rows - next;
  if (unseen > 0) result.classes.push_back({unseen, std::vector<int64_t>(of_group.size(), 0)});
  for (int32_t& position : result.positions)
    if (position < 0) position = next++;
  return result;
}

}  // namespace sparrow
