#include "data/batch_reader.hpp"

#include <algorithm>
#include <tuple>

#include "base/error.hpp"

namespace sparrow {
namespace {

constexpr int64_t kChunk =
    1024;  // samples parsed at a time; their category values stay in the L2 cache until they are translated

}  // namespace

BatchReader::BatchReader(const Dataset& data, SampleRange range, const PositionMap& positions, LoaderOptions options)
    : data_(data), range_(range), positions_(positions), options_(std::move(options)), chunk_(kChunk) {
  check();
  const int64_t size = range.size(), full = std::min(options_.global_batch, size);
  for (const int64_t n : {full, size % std::max<int64_t>(full, 1)})  // the two sizes of batches there are
    capacity_ = std::max(capacity_, part_of_batch(n, options_.rank, options_.ranks, options_.shares).size());
  for (const int64_t rows : options_.shapes.rows) modulo_.emplace_back(static_cast<uint32_t>(rows));
  if (options_.shuffle_window > 0) {
    shuffle_.emplace(size, options_.shuffle_window, options_.seed, options_.epoch);
    window_offsets_.resize(std::min(options_.shuffle_window, size));
    sources_.resize(kChunk);
    source_offsets_.resize(kChunk);
  }
}

void BatchReader::check() const {
  options_.shapes.check();
  if (options_.global_batch < 1) fail("train.global_batch: {} samples", options_.global_batch);
  if (options_.shuffle_window < 0) fail("data.shuffle_window: {} samples", options_.shuffle_window);
  if (options_.split_data && options_.shuffle_window > 0)
    fail("data.shuffle_window: windows would mix the parts that data.split gives to the ranks");
  SPARROW_CHECK(options_.ahead >= 1, "{} batches ahead", options_.ahead);
  SPARROW_CHECK(options_.epoch >= 0, "epoch {}", options_.epoch);
  SPARROW_CHECK(range_.first >= 0 && range_.first <= range_.last && range_.last <= data_.samples(),
                "samples {} .. {} of {}", range_.first, range_.last, data_.samples());
  SPARROW_CHECK(options_.every >= 1, "every {} batches", options_.every);
  SPARROW_CHECK(options_.first_batch >= 0 && options_.first_batch < batches() + options_.every, "batch {} of {}",
                options_.first_batch, batches());
  SPARROW_CHECK(positions_.tables() == tables(), "positions of {} tables", positions_.tables());
  for (int t = 0; t < tables(); ++t) {
    const int64_t rows = options_.shapes.rows[t];
    SPARROW_CHECK(positions_.rows(t) == rows, "table {}: {} positions for {} rows", t, positions_.rows(t), rows);
  }
}

void BatchReader::prepare(BatchBuffer& buffer) const {
  buffer = BatchBuffer(options_.shapes, capacity_, options_.allocate);
}

void BatchReader::fill(BatchBuffer& buffer, int64_t k, const std::atomic<bool>& stop) {
  describe(buffer, k);
  const Batch& batch = buffer.batch;
  const SampleTarget chunk = chunk_.target();
  int64_t done = 0;
  while (done < batch.samples && !stop) {
    const int64_t at = batch.first_sample + done;
    int64_t count = std::min(kChunk, batch.samples - done);
    if (shuffle_) count = std::min(count, enter_window(at, stop));
    if (stop) return;
    read(at, count,
         {buffer.dense + done * options_.shapes.dense_features, buffer.labels + done, chunk.categories, chunk.stride});
    int64_t* table_positions = buffer.positions;
    for (int t = 0; t < tables(); ++t) {
      translate(t, count, table_positions + done * options_.shapes.bag_size(t));
      table_positions += batch.samples * options_.shapes.bag_size(t);
    }
    done += count;
  }
}

/// Everything of the batch but the values behind its spans.
void BatchReader::describe(BatchBuffer& buffer, int64_t k) const {
  const int64_t first = k * options_.global_batch;
  Batch& batch = buffer.batch;
  batch.index = k;
  batch.global_samples = std::min(options_.global_batch, range_.size() - first);
  const SampleRange part = part_of_batch(batch.global_samples, options_.rank, options_.ranks, options_.shares);
  batch.first_sample = first + part.first;
  if (options_.split_data) {
    const auto& [ranks, shares] = std::tie(options_.ranks, options_.shares);
    const int64_t of_batch = part_of_batch(options_.global_batch, options_.rank, ranks, shares).size();
    batch.first_sample =
        part_of_data(range_.size(), options_.global_batch, options_.rank, ranks, shares).first + k * of_batch;
  }
  buffer.set_samples(options_.shapes, part.size());
}

/// Finds the lines of the window that holds sample `at` of the stream; returns how many samples from there on lie in
/// it.
int64_t BatchReader::enter_window(int64_t at, const std::atomic<bool>& stop) {
  constexpr int64_t kPiece = 1 << 16;
  const int64_t window = shuffle_->window_of(at);
  const int64_t first = shuffle_->window_first(window), size = shuffle_->window_size(window);
  if (window != window_) {
    data_.release_pages();
    for (int64_t i = 0; i < size && !stop; i += kPiece) {
      const size_t count = static_cast<size_t>(std::min(kPiece, size - i));
      data_.locate(range_.first + first + i, std::span(window_offsets_).subspan(i, count));
    }
    window_ = window;
  }
  return first + size - at;
}

/// Samples `at` .. `at` + count - 1 of the stream, all in the present window.
void BatchReader::read(int64_t at, int64_t count, const SampleTarget& target) {
  if (!shuffle_) return data_.read(range_.first + at, count, target);
  const int64_t first = shuffle_->window_first(window_);
  const Permutation permutation = shuffle_->permutation(window_);
  const size_t n = static_cast<size_t>(count);
  for (size_t i = 0; i < n; ++i) {
    const int64_t in_window = permutation(at + static_cast<int64_t>(i) - first);
    sources_[i] = range_.first + first + in_window;
    source_offsets_[i] = window_offsets_[in_window];
  }
  data_.read_scattered(std::span(sources_).first(n), std::span(source_offsets_).first(n), target);
}

/// Category values of table t in the chunk -> positions of the samples' bags.
void BatchReader::translate(int t, int64_t count, int64_t* to) const {
  const uint32_t* values = chunk_.table(t);
  const Modulo modulo = modulo_[t];
  const std::span<const int32_t> map = positions_.view(t);
  const int bag = options_.shapes.bag_size(t);
  if (bag == 1 && map.empty()) {
    for (int64_t i = 0; i < count; ++i) to[i] = modulo(values[i]);
  } else if (bag == 1) {
    for (int64_t i = 0; i < count; ++i) to[i] = map[modulo(values[i])];
  } else {
    const int64_t rows = options_.shapes.rows[t];
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t id = modulo(values[i]);
      for (int j = 0; j < bag; ++j) *to++ = positions_.position(t, j == 0 ? id : bag_id(t, id, j, rows));
    }
  }
}

}  // namespace sparrow
