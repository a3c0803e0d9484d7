#include "access/group_counts.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "access/bytes.hpp"
#include "access/count_lookups.hpp"
#include "base/error.hpp"

namespace sparrow {

namespace {

/// Collects ids, and counts them once there are as many as are counted already: O(log) passes over them in all.
class SeenCounter {
 public:
  void add(int64_t id) {
    pending_.push_back(static_cast<int32_t>(id));
    if (pending_.size() >= std::max(kLeastPending, seen_.ids.size())) count_pending();
  }
  SeenRows take() {
    count_pending();
    return std::move(seen_);
  }

 private:
  static constexpr size_t kLeastPending = 1 << 16;

  void count_pending() {
    std::sort(pending_.begin(), pending_.end());
    SeenRows more;
    for (const int32_t id : pending_) {
      if (more.ids.empty() || more.ids.back() != id) {
        more.ids.push_back(id);
        more.counts.push_back(0);
      }
      ++more.counts.back();
    }
    pending_.clear();
    seen_ = seen_.ids.empty() ? std::move(more) : merged(seen_, more);
  }

  std::vector<int32_t> pending_;
  SeenRows seen_;
};

/// visit(id, count in a, count in b) for every row seen in either, by id.
template <class Visit>
void for_rows(const SeenRows& a, const SeenRows& b, const Visit& visit) {
  size_t i = 0, j = 0;
  while (i < a.ids.size() || j < b.ids.size()) {
    const bool in_a = j == b.ids.size() || (i < a.ids.size() && a.ids[i] <= b.ids[j]);
    const bool in_b = i == a.ids.size() || (j < b.ids.size() && b.ids[j] <= a.ids[i]);
    visit(in_a ? a.ids[i] : b.ids[j], in_a ? a.counts[i] : 0, in_b ? b.counts[j] : 0);
    i += in_a;
    j += in_b;
  }
}

int64_t lookups_of(const SeenCounts& counts) {
  int64_t sum = 0;
  for (const SeenRows& table : counts) sum += table.lookups();
  return sum;
}

void add(SeenCounts& to, const SeenCounts& more) {
  for (size_t t = 0; t < to.size(); ++t) to[t] = merged(to[t], more[t]);
}

}  // namespace

int64_t SeenRows::lookups() const {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

SeenCounts count_seen(const Dataset& data, std::span<const SampleRange> ranges, const TableShapes& shapes) {
  std::vector<SeenCounter> counters(shapes.rows.size());
  count_lookups(data, ranges, shapes, [&](int t) { return [&counter = counters[t]](int64_t id) { counter.add(id); }; });
  SeenCounts counts;
  for (SeenCounter& counter : counters) counts.push_back(counter.take());
  return counts;
}

SeenRows merged(const SeenRows& a, const SeenRows& b) {
  SeenRows sum;
  sum.ids.reserve(a.ids.size() + b.ids.size());
  sum.counts.reserve(a.ids.size() + b.ids.size());
  for_rows(a, b, [&](int32_t id, int64_t x, int64_t y) {
    sum.ids.push_back(id);
    sum.counts.push_back(x + y);
  });
  return sum;
}

std::string serialize(const SeenRows& rows) {
  std::string bytes;
  put_values(bytes, std::span(rows.ids));
  put_values(bytes, std::span(rows.counts));
  return bytes;
}

SeenRows deserialize_seen_rows(std::string_view bytes, int64_t rows) {
  constexpr size_t kEach = sizeof(int32_t) + sizeof(int64_t);
  if (bytes.size() % kEach != 0) fail("counts of rows: {} bytes", bytes.size());
  SeenRows result;
  result.ids.resize(bytes.size() / kEach);
  result.counts.resize(result.ids.size());
  ByteReader reader(bytes);
  reader.take(std::span(result.ids));
  reader.take(std::span(result.counts));
  int64_t before = -1;
  for (size_t i = 0; i < result.ids.size(); ++i) {
    if (result.ids[i] <= before || result.ids[i] >= rows || result.counts[i] < 1)
      fail("counts of rows: row {} of {} behind row {}, looked up {} times", result.ids[i], rows, before,
           result.counts[i]);
    before = result.ids[i];
  }
  return result;
}

double unlikeness(const SeenCounts& a, const SeenCounts& b) {
  const auto n_a = static_cast<double>(lookups_of(a)), n_b = static_cast<double>(lookups_of(b));
  if (n_a == 0 || n_b == 0) return 0;
  const double of_a = std::sqrt(n_b / n_a), of_b = std::sqrt(n_a / n_b);
  double squares = 0, rows = 0;
  for (size_t t = 0; t < a.size(); ++t)
    for_rows(a[t], b[t], [&](int32_t, int64_t x, int64_t y) {
      const double difference = of_a * static_cast<double>(x) - of_b * static_cast<double>(y);
      squares += difference * difference / static_cast<double>(x + y);
      rows += 1;
    });
  const double told = n_a + n_b - rows;  // rows seen once tell nothing
  return told > 0 ? (squares - rows) / told : 0;
}

namespace {

/// Groups that are made rank by rank, with how far each two of them are apart.
class Grouping {
 public:
  Grouping(size_t ranks, int most_groups) : most_(most_groups) { result_.of_rank.assign(ranks, 0); }

  void add(size_t rank, SeenCounts counts) {
    std::vector<double> apart;
    for (const SeenCounts& group : result_.counts) apart.push_back(unlikeness(group, counts));
    const auto nearest = std::min_element(apart.begin(), apart.end());
    if (nearest != apart.end() && *nearest <= kAlike) {
      join(nearest - apart.begin(), counts, *nearest);
      result_.of_rank[rank] = static_cast<int>(nearest - apart.begin());
      return;
    }
    result_.of_rank[rank] = static_cast<int>(result_.counts.size());
    result_.counts.push_back(std::move(counts));
    apart_.push_back(apart);
    if (result_.counts.size() > most_) join_nearest();
  }
  RankGroups take() { return std::move(result_); }

 private:
  double& apart(size_t a, size_t b) { return apart_[std::max(a, b)][std::min(a, b)]; }

  void join(size_t group, const SeenCounts& counts, double by) {
    result_.widest = std::max(result_.widest, by);
    sparrow::add(result_.counts[group], counts);
    for (size_t other = 0; other < result_.counts.size(); ++other)
      if (other != group) apart(group, other) = unlikeness(result_.counts[group], result_.counts[other]);
  }

  void join_nearest() {
    size_t keep = 0, gone = 1;
    for (size_t b = 1; b < apart_.size(); ++b)
      for (size_t a = 0; a < b; ++a)
        if (apart(a, b) < apart(keep, gone)) keep = a, gone = b;
    const double by = apart(keep, gone);
    const SeenCounts counts = std::move(result_.counts[gone]);
    result_.counts.erase(result_.counts.begin() + static_cast<std::ptrdiff_t>(gone));
    apart_.erase(apart_.begin() + static_cast<std::ptrdiff_t>(gone));
    for (auto& row : apart_)
      if (gone < row.size()) row.erase(row.begin() + static_cast<std::ptrdiff_t>(gone));
    for (int& group : result_.of_rank) {
      if (group == static_cast<int>(gone)) group = static_cast<int>(keep);
      if (group > static_cast<int>(gone)) --group;
    }
    join(keep, counts, by);
  }

  size_t most_;
  RankGroups result_;
  std::vector<std::vector<double>> apart_;  ///< [b][a], a < b
};

}  // namespace

RankGroups group_ranks(std::vector<SeenCounts> by_rank, int most_groups) {
  SPARROW_CHECK(most_groups >= 1 && most_groups <= 64, "{} groups", most_groups);
  Grouping grouping(by_rank.size(), most_groups);
  for (size_t rank = 0; rank < by_rank.size(); ++rank)
    if (lookups_of(by_rank[rank]) > 0) grouping.add(rank, std::move(by_rank[rank]));
  return grouping.take();
}

RankGroups group_ranks(std::vector<SeenCounts> by_rank, std::span<const int> group_of_rank) {
  SPARROW_CHECK(group_of_rank.size() == by_rank.size(), "groups of {} ranks", group_of_rank.size());
  RankGroups result;
  result.of_rank.assign(by_rank.size(), 0);
  std::vector<int> given;  // by number
  for (size_t rank = 0; rank < by_rank.size(); ++rank) {
    if (lookups_of(by_rank[rank]) == 0) continue;
    const auto at = std::find(given.begin(), given.end(), group_of_rank[rank]);
    const auto group = static_cast<size_t>(at - given.begin());
    result.of_rank[rank] = static_cast<int>(group);
    if (at == given.end() && std::ssize(given) == kMostGivenGroups)
      fail("the topology names more than {} access groups of ranks with samples", kMostGivenGroups);
    if (at != given.end()) {
      result.widest = std::max(result.widest, unlikeness(result.counts[group], by_rank[rank]));
      add(result.counts[group], by_rank[rank]);
    } else {
      given.push_back(group_of_rank[rank]);
      result.counts.push_back(std::move(by_rank[rank]));
    }
  }
  return result;
}

}  // namespace sparrow
