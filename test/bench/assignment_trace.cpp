#include "test/bench/assignment_trace.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <numeric>
#include <unordered_map>

#include "base/error.hpp"
#include "data/dataset.hpp"
#include "synthetic/generator_model.hpp"

namespace sparrow::bench {

namespace {

/// Numbers rows over all tables.
class RowNumbers {
 public:
  int32_t operator()(int table, uint32_t value) {
    const auto key = static_cast<uint64_t>(table) << 32 | value;
    return numbers_.try_emplace(key, static_cast<int32_t>(numbers_.size())).first->second;
  }
  int32_t rows() const { return static_cast<int32_t>(numbers_.size()); }

 private:
  std::unordered_map<uint64_t, int32_t> numbers_;
};

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

Trace read_trace(const std::vector<std::string>& files, int64_t samples) {
  const std::filesystem::path scratch =
      std::filesystem::temp_directory_path() / fmt::format("sparrow_assignment_bench.{}", ::getpid());
  Trace trace{kCriteoTables, 0, {}};
  {
    const Dataset data = open_dataset(files, {.scratch = scratch.string()});
    constexpr int64_t kBlock = 1000;
    SampleBlock block(kBlock);
    RowNumbers number;
    samples = std::min(samples, data.samples());
    for (int64_t first = 0; first < samples; first += kBlock) {
      const int64_t n = std::min(kBlock, samples - first);
      data.read(first, n, block.target());
      for (int64_t i = 0; i < n; ++i)
        for (int t = 0; t < trace.tables; ++t) trace.ids.push_back(number(t, block.category(t, i)));
    }
    trace.rows = number.rows();
  }
  std::filesystem::remove_all(scratch);
  return trace;
}

Trace generate_trace(int64_t samples, uint64_t seed) {
  const SampleModel model(criteo_statistics("kaggle"), 1.0, seed);
  Trace trace{kCriteoTables, 0, {}};
  RowNumbers number;
  CriteoSample sample;
  for (int64_t s = 0; s < samples; ++s) {
    model.sample(s, sample);
    for (int t = 0; t < trace.tables; ++t) trace.ids.push_back(number(t, sample.ranks[t]));
  }
  trace.rows = number.rows();
  return trace;
}

void TraceBatch::set(int64_t first, std::span<const int64_t> quota, std::span<const int16_t> holder) {
  for (const int64_t key : keys_) number_[key] = -1;
  quota_.assign(quota.begin(), quota.end());
  const int64_t samples = std::accumulate(quota.begin(), quota.end(), int64_t{0});
  const int tables = trace_.tables;
  rows_.clear();
  keys_.clear();
  holder_.clear();
  first_.assign(1, 0);
  for (int64_t i = first * tables; i < (first + samples) * tables; ++i) {
    const int32_t id = trace_.ids[i];
    if (number_[id] < 0) {
      number_[id] = static_cast<int32_t>(keys_.size());
      keys_.push_back(id);
      holder_.push_back(holder[id]);
    }
    rows_.push_back(number_[id]);
    if ((i + 1) % tables == 0) first_.push_back(std::ssize(rows_));
  }
  batch_ = {first_, rows_, keys_, holder_, keys_, {}, quota_};
}

double naive_moves(int64_t samples, int tables, int ranks) {
  return 2.0 * static_cast<double>(samples) * tables * (ranks - 1) / ranks;
}

namespace {

/// Holders, as they are and as they are known.
struct HoldersInTime {
  explicit HoldersInTime(int32_t rows) : now(rows, AssignerBatch::kNobody), known(now) {}
  void add(int64_t row, int16_t rank) {
    if (now[row] >= 0) return;
    now[row] = rank;
    fresh.push_back(row);
  }
  void end_batch(int delay) {
    recent.push_back(std::move(fresh));
    fresh.clear();
    if (std::ssize(recent) < delay) return;
    for (const int64_t row : recent.front()) known[row] = now[row];
    recent.pop_front();
  }
  std::vector<int16_t> now, known;
  std::vector<int64_t> fresh;
  std::deque<std::vector<int64_t>> recent;
};

}  // namespace

TraceFigures run_trace(const Trace& trace, const TraceOptions& options) {
  const auto& [ranks, per_rank] = options.shape;
  const int64_t global = ranks * per_rank, part = global / options.parts;
  const int64_t batches = std::min(trace.samples() / global, options.most);
  SPARROW_CHECK(batches > 0 && per_rank % options.parts == 0);
  Assigner assigner(options.tree, options.assigner);
  const std::vector<int64_t> quota(ranks, per_rank), part_quota(ranks, per_rank / options.parts);
  TraceBatch pieces(trace), whole(trace);
  HoldersInTime holders(trace.rows);
  std::vector<int16_t> assigned(global), settled;
  std::vector<double> seconds, received(ranks, 0);
  double naive_late = 0, moved_late = 0, moved = 0, distinct = 0, into = 0;
  for (int64_t b = 0; b < batches; ++b) {
    for (int p = 0; p < options.parts; ++p) {
      pieces.set(b * global + p * part, part_quota, holders.known);
      const std::span<int16_t> of_part(assigned.data() + p * part, static_cast<size_t>(part));
      const double begin = processor_seconds();
      assigner.assign(pieces.batch(), of_part);
      seconds.push_back(processor_seconds() - begin);
      settled.assign(pieces.batch().holder.begin(), pieces.batch().holder.end());
      assigner.settle(pieces.batch(), of_part, settled);
      for (size_t d = 0; d < settled.size(); ++d) holders.add(pieces.key(d), settled[d]);
    }
    whole.set(b * global, quota, holders.now);
    const AssignmentMoves moves = count_moves(options.tree, whole.batch(), assigned, whole.batch().holder);
    const double rows = 2.0 * static_cast<double>(std::accumulate(moves.into.begin(), moves.into.end(), int64_t{0}));
    moved += rows;
    into += static_cast<double>(moves.into[0]);
    distinct += static_cast<double>(std::accumulate(moves.distinct.begin(), moves.distinct.end(), int64_t{0}));
    if (b >= batches / 3) {
      moved_late += rows;
      naive_late += naive_moves(global, trace.tables, ranks);
      for (int r = 0; r < ranks; ++r) received[r] += static_cast<double>(moves.received[r]);
    }
    holders.end_batch(options.delay);
  }
  std::nth_element(seconds.begin(), seconds.begin() + std::ssize(seconds) / 2, seconds.end());
  const auto samples = static_cast<double>(batches * global);
  const double most = *std::max_element(received.begin(), received.end());
  const double mean = std::accumulate(received.begin(), received.end(), 0.0) / ranks;
  return {naive_late / moved_late,           naive_moves(batches * global, trace.tables, ranks) / moved,
          mean > 0 ? most / mean : 1,        seconds[seconds.size() / 2] / static_cast<double>(part) * 1e6,
          distinct / samples / trace.tables, into / samples};
}

}  // namespace sparrow::bench
