#include "data/dataset.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <list>
#include <mutex>
#include <unordered_map>

#include "base/error.hpp"
#include "data/criteo.hpp"
#include "data/criteo_tsv.hpp"
#include "data/gzip.hpp"
#include "data/npy_shard.hpp"

namespace sparrow {
namespace {

constexpr size_t kMappedShards =
    64;  // mapped at the same time; the mappings of 10,000 day files would near the kernel's limit

/// One shard, mapped.
class OpenShard {
 public:
  explicit OpenShard(const ShardIndex& index) : index_(index) {
    int64_t bytes = 0;
    if (index.kind == ShardKind::npy) {
      npy_ = std::make_unique<NpyShard>(index.path);
      bytes = npy_->bytes();
    } else {
      text_ = MappedFile(index.path);
      bytes = text_.size();
    }
    if (bytes != index.bytes)
      fail("{}: the file has changed: {} bytes now, {} when it was scanned", index.path, bytes, index.bytes);
  }

  /// Samples first .. first + count - 1 of this shard into rows at, at + 1, ... of the target.
  void read(int64_t first, int64_t count, const SampleTarget& target, int64_t at) const {
    if (npy_) {
      npy_->prefetch(first, first + count);
      for (int64_t i = 0; i < count; ++i) read_npy(first + i, target, at + i);
      npy_->release(first, first + count);
      return;
    }
    const size_t behind = static_cast<size_t>((first + count - 1) / ShardIndex::kStride) + 1;
    const int64_t begin = index_.offsets[static_cast<size_t>(first / ShardIndex::kStride)];
    text_.prefetch(begin, behind < index_.offsets.size() ? index_.offsets[behind] : text_.size());
    Cursor cursor(*this, first);
    for (int64_t i = 0; i < count; ++i) cursor.move_to(parse_at(first + i, cursor.line(), target, at + i));
    text_.release(begin, cursor.line() - text_.data());
  }

  void read_one(int64_t sample, int64_t offset, const SampleTarget& target, int64_t at) const {
    if (npy_) return read_npy(sample, target, at);
    SPARROW_CHECK(offset >= 0 && offset < text_.size(), "offset {}", offset);
    parse_at(sample, text_.data() + offset, target, at);
  }

  void locate(int64_t first, std::span<int64_t> offsets) const {
    if (npy_) {
      std::fill(offsets.begin(), offsets.end(), 0);
      return;
    }
    Cursor cursor(*this, first);
    for (int64_t& offset : offsets) {
      offset = cursor.line() - text_.data();
      cursor.skip();
    }
  }

  void release_pages() const {
    if (npy_) npy_->release(0, npy_->samples());
    text_.release(0, text_.size());
  }

 private:
  /// Walks along the lines that are samples.
  class Cursor {
   public:
    Cursor(const OpenShard& shard, int64_t sample) : shard_(shard) {
      const ShardIndex& index = shard.index_;
      const int64_t offset = index.offsets[static_cast<size_t>(sample / ShardIndex::kStride)];
      bad_ = std::lower_bound(index.bad_lines.begin(), index.bad_lines.end(), offset,
                              [](const BadLine& bad, int64_t value) { return bad.offset < value; });
      move_to(shard.text_.data() + offset);
      for (int64_t i = sample % ShardIndex::kStride; i > 0; --i) skip();
    }
    /// Where the present line begins; the end of the text after the last one.
    const char* line() const { return line_; }
    void skip() { move_to(after(line_)); }
    /// Goes on at `line`, or behind the bad lines that begin there.
    void move_to(const char* line) {
      while (bad_ != shard_.index_.bad_lines.end() && bad_->offset == line - shard_.text_.data()) {
        line = after(line);
        ++bad_;
      }
      line_ = line;
    }

   private:
    const char* after(const char* line) const {
      const char* const end = shard_.text_.data() + shard_.text_.size();
      const void* found = std::memchr(line, '\n', static_cast<size_t>(end - line));
      return found != nullptr ? static_cast<const char*>(found) + 1 : end;
    }
    const OpenShard& shard_;
    std::vector<BadLine>::const_iterator bad_;
    const char* line_ = nullptr;
  };

  void read_npy(int64_t sample, const SampleTarget& to, int64_t at) const {
    npy_->read(sample, to.labels[at], to.dense + at * kCriteoDense, to.categories + at, to.stride);
  }

  const char* parse_at(int64_t sample, const char* line, const SampleTarget& to, int64_t at) const {
    const char* const end = text_.data() + text_.size();
    // The size is right, so a missing line means that the contents are others than those scanned.
    if (line == end) fail("{}: the file has changed since it was scanned", index_.path);
    const char* const next =
        parse_criteo_line(line, end, to.labels[at], to.dense + at * kCriteoDense, to.categories + at, to.stride);
    if (next == nullptr) [[unlikely]] {
      const std::string_view rest(line, static_cast<size_t>(end - line));
      fail_at(index_.name, index_.line_of(sample), "{}", explain_criteo_line(rest.substr(0, rest.find('\n'))));
    }
    return next;
  }

  const ShardIndex& index_;
  MappedFile text_;
  std::unique_ptr<NpyShard> npy_;
};

}  // namespace

SampleBlock::SampleBlock(int64_t capacity)
    : stride_(capacity + 16),
      dense_(static_cast<size_t>(capacity * kCriteoDense)),
      labels_(static_cast<size_t>(capacity)),
      categories_(static_cast<size_t>(stride_ * kCriteoTables)) {}

SampleTarget SampleBlock::target() {
  return {dense_.data(), labels_.data(), categories_.data(), stride_};
}

struct Dataset::State {
  std::vector<ShardIndex> shards;
  std::vector<int64_t> starts;  ///< [shards + 1]: number of each shard's first sample
  int64_t bad_lines = 0;

  /// The mapped shards, the last used first.
  struct Entry {
    size_t shard;
    std::shared_ptr<const OpenShard> open;
  };
  std::mutex mutex;
  std::list<Entry> entries;
  std::unordered_map<size_t, std::list<Entry>::iterator> by_shard;

  size_t shard_of(int64_t sample) const {
    return static_cast<size_t>(std::upper_bound(starts.begin(), starts.end(), sample) - starts.begin()) - 1;
  }

  std::shared_ptr<const OpenShard> open(size_t shard) {
    const std::lock_guard lock(mutex);
    if (const auto found = by_shard.find(shard); found != by_shard.end()) {
      entries.splice(entries.begin(), entries, found->second);
      return entries.front().open;
    }
    entries.push_front({shard, std::make_shared<const OpenShard>(shards[shard])});
    by_shard[shard] = entries.begin();
    if (entries.size() > kMappedShards) {
      by_shard.erase(entries.back().shard);
      entries.pop_back();
    }
    return entries.front().open;
  }

  /// Calls part(open shard, first sample in it, count, samples before) for each shard of samples first .. first + count
  /// - 1.
  template <class Part>
  void for_each_part(int64_t first, int64_t count, Part part) {
    SPARROW_CHECK(first >= 0 && count >= 0 && first <= starts.back() - count, "samples {} + {} of {}", first, count,
                  starts.back());
    for (int64_t done = 0; done < count;) {
      const size_t shard = shard_of(first + done);
      const int64_t n = std::min(count - done, starts[shard + 1] - first - done);
      part(*open(shard), first + done - starts[shard], n, done);
      done += n;
    }
  }
};

Dataset::Dataset(std::vector<ShardIndex> shards, int64_t skip_bad_lines) : state_(std::make_unique<State>()) {
  if (shards.empty()) fail("a data set without files");
  state_->shards = std::move(shards);
  state_->starts.push_back(0);
  for (const ShardIndex& shard : state_->shards) {
    const int64_t anchors = (shard.samples + ShardIndex::kStride - 1) / ShardIndex::kStride;
    SPARROW_CHECK(shard.kind == ShardKind::npy || static_cast<int64_t>(shard.offsets.size()) == anchors, "{}",
                  shard.name);
    state_->starts.push_back(state_->starts.back() + shard.samples);
    state_->bad_lines += static_cast<int64_t>(shard.bad_lines.size());
  }
  if (state_->bad_lines > skip_bad_lines)
    fail("{} malformed lines in {} files, data.skip_bad_lines is {}", state_->bad_lines, state_->shards.size(),
         skip_bad_lines);
  if (samples() == 0) fail("{}: the data hold no samples", state_->shards[0].name);
}

Dataset::~Dataset() = default;
Dataset::Dataset(Dataset&&) noexcept = default;
Dataset& Dataset::operator=(Dataset&&) noexcept = default;

int64_t Dataset::samples() const {
  return state_->starts.back();
}
int64_t Dataset::bad_lines() const {
  return state_->bad_lines;
}
const std::vector<ShardIndex>& Dataset::shards() const {
  return state_->shards;
}

SampleRange Dataset::tail(int64_t tail) const {
  if (tail < 0 || tail >= samples()) fail("data.eval_tail: {} samples of {}", tail, samples());
  return {samples() - tail, samples()};
}

SampleRange Dataset::before_tail(int64_t tail) const {
  return {0, this->tail(tail).first};
}

void Dataset::read(int64_t first, int64_t count, const SampleTarget& target) const {
  SPARROW_CHECK(count <= target.stride, "{} samples, stride {}", count, target.stride);
  state_->for_each_part(first, count, [&](const OpenShard& shard, int64_t sample, int64_t n, int64_t done) {
    shard.read(sample, n, target, done);
  });
}

void Dataset::locate(int64_t first, std::span<int64_t> offsets) const {
  state_->for_each_part(first, static_cast<int64_t>(offsets.size()),
                        [&](const OpenShard& shard, int64_t sample, int64_t n, int64_t done) {
                          shard.locate(sample, offsets.subspan(static_cast<size_t>(done), static_cast<size_t>(n)));
                        });
}

void Dataset::read_scattered(std::span<const int64_t> samples, std::span<const int64_t> offsets,
                             const SampleTarget& target) const {
  SPARROW_CHECK(samples.size() == offsets.size() && static_cast<int64_t>(samples.size()) <= target.stride, "{} and {}",
                samples.size(), offsets.size());
  std::shared_ptr<const OpenShard> open;
  size_t shard = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    SPARROW_CHECK(samples[i] >= 0 && samples[i] < this->samples(), "sample {} of {}", samples[i], this->samples());
    const size_t wanted = state_->shard_of(samples[i]);
    if (!open || wanted != shard) open = state_->open(shard = wanted);
    open->read_one(samples[i] - state_->starts[shard], offsets[i], target, static_cast<int64_t>(i));
  }
}

void Dataset::release_pages() const {
  const std::lock_guard lock(state_->mutex);
  for (const State::Entry& entry : state_->entries) entry.open->release_pages();
}

Dataset open_dataset(const std::vector<std::string>& files, const OpenOptions& options) {
  std::vector<ShardIndex> shards;
  for (const std::string& file : expand_files(files)) {
    std::string path;
    if (is_gzip(file)) {
      shard_kind(file);  // an unknown kind is no reason to decompress
      std::filesystem::create_directories(options.scratch);
      path = scratch_name(file, options.scratch);
      decompress_gzip(file, path);
    }
    shards.push_back(scan_shard(file, path, options.skip_bad_lines));
  }
  return Dataset(std::move(shards), options.skip_bad_lines);
}

}  // namespace sparrow
