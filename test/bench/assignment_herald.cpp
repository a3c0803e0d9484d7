// The baseline of assignment_bench.
#include <algorithm>
#include <bit>
#include <functional>
#include <list>
#include <unordered_map>

#include "base/error.hpp"
#include "test/bench/assignment_trace.hpp"

namespace sparrow::bench {

namespace {

/// The rows that workers keep, and who has them as they are now.
class Caches {
 public:
  Caches(const Trace& trace, int workers, int64_t room) : caches_(workers), current_(trace.rows, 0), room_(room) {}

  bool has(int worker, int32_t row) const { return (current_[row] & bit(worker)) != 0; }

  /// One batch: `row` is used by these workers. Counts rows that travel.
  void use(int32_t row, uint64_t workers) {
    const int users = std::popcount(workers);
    if ((workers & ~current_[row]) != 0 && dirty(row)) write_back(row);
    for (int w = 0; w < std::ssize(caches_); ++w) {
      if ((workers & bit(w)) == 0) continue;
      moves += !has(w, row);
      keep(w, row);
    }
    if (users > 1) moves += users;  // gradients, added up at the server, where alone the row is current then
    owner_[row] = users == 1 ? workers : 0;
    current_[row] = users == 1 ? workers : 0;
  }

  double moves = 0;

 private:
  static uint64_t bit(int worker) { return uint64_t{1} << worker; }
  bool dirty(int32_t row) const { return owner_.count(row) != 0 && owner_.at(row) != 0; }
  void write_back(int32_t row) {
    ++moves;
    owner_[row] = 0;
  }
  void keep(int worker, int32_t row) {
    Cache& cache = caches_[worker];
    const auto at = cache.place.find(row);
    if (at != cache.place.end()) cache.rows.erase(at->second);
    cache.rows.push_front(row);
    cache.place[row] = cache.rows.begin();
    if (std::ssize(cache.rows) <= room_) return;
    const int32_t old = cache.rows.back();
    if (dirty(old) && owner_.at(old) == bit(worker)) write_back(old);
    current_[old] &= ~bit(worker);
    cache.place.erase(old);
    cache.rows.pop_back();
  }

  struct Cache {
    std::list<int32_t> rows;  ///< used last first
    std::unordered_map<int32_t, std::list<int32_t>::iterator> place;
  };
  std::vector<Cache> caches_;
  std::vector<uint64_t> current_;                ///< [rows]: workers whose copy is current
  std::unordered_map<int32_t, uint64_t> owner_;  ///< the one whose copy the server does not have
  int64_t room_;
};

/// Samples of one batch to workers.
class Greedy {
 public:
  Greedy(const Trace& trace, const Shape& shape, const Caches& caches)
      : trace_(trace), shape_(shape), caches_(caches), users_(trace.rows, 0) {}

  /// Sets used() and users(row) for the batch that begins with sample `first`.
  void assign(int64_t first) {
    for (const int32_t row : used_) users_[row] = 0;
    used_.clear();
    const int64_t global = shape_.ranks * shape_.per_rank;
    std::vector<std::pair<int, int64_t>> order;  // by margin
    for (int64_t s = first; s < first + global; ++s) {
      std::vector<int> scores = scores_of(s);
      std::partial_sort(scores.begin(), scores.begin() + 2, scores.end(), std::greater<>());
      order.push_back({scores[1] - scores[0], s});
    }
    std::sort(order.begin(), order.end());
    std::vector<int64_t> room(shape_.ranks, shape_.per_rank);
    for (const auto& [margin, s] : order) {
      const std::vector<int> scores = scores_of(s);
      int best = -1;
      for (int w = 0; w < shape_.ranks; ++w)
        if (room[w] > 0 &&
            (best < 0 || scores[w] > scores[best] || (scores[w] == scores[best] && room[w] > room[best])))
          best = w;
      --room[best];
      for (const int32_t row : rows(s)) {
        if (users_[row] == 0) used_.push_back(row);
        users_[row] |= uint64_t{1} << best;
      }
    }
  }

  const std::vector<int32_t>& used() const { return used_; }
  uint64_t users(int32_t row) const { return users_[row]; }

 private:
  std::span<const int32_t> rows(int64_t sample) const {
    return {&trace_.ids[sample * trace_.tables], static_cast<size_t>(trace_.tables)};
  }
  /// Rows that a worker has; ties by those that it gets in this batch anyway.
  std::vector<int> scores_of(int64_t sample) const {
    std::vector<int> scores(shape_.ranks, 0);
    for (const int32_t row : rows(sample))
      for (int w = 0; w < shape_.ranks; ++w)
        scores[w] += 100 * caches_.has(w, row) + static_cast<int>(users_[row] >> w & 1);
    return scores;
  }

  const Trace& trace_;
  const Shape& shape_;
  const Caches& caches_;
  std::vector<uint64_t> users_;  ///< [rows of the trace]: workers
  std::vector<int32_t> used_;
};

}  // namespace

TraceFigures run_herald(const Trace& trace, const Shape& shape, int64_t cache) {
  SPARROW_CHECK(shape.ranks > 1 && shape.ranks <= 64);
  const int64_t global = shape.ranks * shape.per_rank, batches = trace.samples() / global;
  Caches caches(trace, shape.ranks, cache);
  Greedy greedy(trace, shape, caches);
  double early = 0;
  for (int64_t b = 0; b < batches; ++b) {
    if (b == batches / 3) early = caches.moves;
    greedy.assign(b * global);
    for (const int32_t row : greedy.used()) caches.use(row, greedy.users(row));
  }
  TraceFigures figures;
  figures.late = naive_moves((batches - batches / 3) * global, trace.tables, shape.ranks) / (caches.moves - early);
  figures.whole = naive_moves(batches * global, trace.tables, shape.ranks) / caches.moves;
  return figures;
}

}  // namespace sparrow::bench
