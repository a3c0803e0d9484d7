#include "data/dataset.hpp"

#include <algorithm>
#include <filesystem>
#include <list>
#include <mutex>
#include <unordered_map>

#include "base/error.hpp"
#include "data/gzip.hpp"
#include "data/open_shard.hpp"

namespace sparrow {
namespace {

constexpr size_t kMappedShards = 64;  // at the same time; those of 10,000 npy triplets would near the kernel's limit

}  // namespace

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

  /// Calls action(open shard, first sample in it, count, samples before) for each shard of `count` samples from `first`.
  template <class Action>
  void for_each_part(int64_t first, int64_t count, Action action) {
    SPARROW_CHECK(first >= 0 && count >= 0 && first <= starts.back() - count, "samples {} + {} of {}", first, count,
                  starts.back());
    for (int64_t done = 0; done < count;) {
      const size_t shard = shard_of(first + done);
      const int64_t n = std::min(count - done, starts[shard + 1] - first - done);
      action(*open(shard), first + done - starts[shard], n, done);
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
    const bool fits = shard.kind == ShardKind::npy || static_cast<int64_t>(shard.offsets.size()) == anchors;
    SPARROW_CHECK(shard.samples >= 0 && fits, "index of {}", shard.name);
    for (const int64_t offset : shard.offsets)
      SPARROW_CHECK(offset >= 0 && offset < shard.bytes, "index of {}", shard.name);
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
                          shard.locate(sample, offsets.subspan(done, n));
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
