#include "assign/batch_assignment.hpp"

#include <algorithm>
#include <bit>

#include "assign/new_holders.hpp"
#include "base/error.hpp"

namespace sparrow {

BatchAssignment::BatchAssignment(const TableShapes& shapes, const Tables& tables, const RowPlaces& places,
                                 AssignerTree tree, const SampleAssignment& assignment, bool first_use, int threads)
    : rows_(shapes, tables, places),
      assigner_(tree, {assignment.passes, threads}),
      local_(assignment.local),
      first_use_(first_use),
      with_turns_(!tree.rings.empty()) {}

void BatchAssignment::read_holders(const HolderMap& map) {
  const std::span<const int64_t> keys = rows_.keys();
  const std::span<int16_t> holder = rows_.holder();
  for (const int32_t row : rows_.mapped()) holder[row] = static_cast<int16_t>(map.holder(keys[row]));
}

void BatchAssignment::forget_holders(std::span<const int64_t> forgotten) {
  if (forgotten.empty()) return;
  const uint64_t size = std::bit_ceil(2 * forgotten.size() + 2);  // at most half are used
  const int shift = 64 - std::countr_zero(size);
  key_slots_.assign(size, -1);
  const auto slot_of = [&](int64_t key) -> int64_t& {
    uint64_t slot = static_cast<uint64_t>(key) * 0x9E3779B97F4A7C15u >> shift;  // Fibonacci hashing
    while (key_slots_[slot] >= 0 && key_slots_[slot] != key) slot = (slot + 1) & (size - 1);
    return key_slots_[slot];
  };
  for (const int64_t key : forgotten) slot_of(key) = key;
  const std::span<const int64_t> keys = rows_.keys();
  const std::span<int16_t> holder = rows_.holder();
  for (const int32_t row : rows_.mapped())
    if (holder[row] >= 0 && slot_of(keys[row]) == keys[row]) holder[row] = AssignerBatch::kNobody;
}

void BatchAssignment::assign(std::span<const int64_t> quota) {
  const AssignerBatch view = rows_.view(quota, with_turns_);
  rank_of_sample_.resize(static_cast<size_t>(view.samples()));
  if (local_ && quota.size() > 1) {
    assigner_.assign(view, rank_of_sample_);
  } else {
    auto at = rank_of_sample_.begin();
    for (size_t rank = 0; rank < quota.size(); ++rank) at = std::fill_n(at, quota[rank], static_cast<int16_t>(rank));
    SPARROW_CHECK(at == rank_of_sample_.end(), "quotas do not add up to the batch");
  }
  list_by_rank(quota);
  news_.clear();
  if (first_use_) settle(view);
}

/// In order of their numbers, whoever has read them.
void BatchAssignment::list_by_rank(std::span<const int64_t> quota) {
  first_of_rank_.assign(quota.size() + 1, 0);
  for (const int16_t rank : rank_of_sample_) ++first_of_rank_[rank + 1];
  for (size_t rank = 0; rank < quota.size(); ++rank) {
    SPARROW_CHECK(first_of_rank_[rank + 1] == quota[rank], "rank {} gets {} samples, its quota is {}", rank,
                  first_of_rank_[rank + 1], quota[rank]);
    first_of_rank_[rank + 1] += first_of_rank_[rank];
  }
  next_.assign(first_of_rank_.begin(), first_of_rank_.end() - 1);
  samples_.resize(rank_of_sample_.size());
  for (size_t sample = 0; sample < samples_.size(); ++sample)
    samples_[next_[rank_of_sample_[sample]]++] = static_cast<int32_t>(sample);
}

void BatchAssignment::settle(const AssignerBatch& view) {
  const std::span<const int64_t> keys = rows_.keys();
  const std::span<int16_t> holder = rows_.holder();
  for (const int32_t row : rows_.mapped())
    if (holder[row] == AssignerBatch::kNobody) news_.push_back({row, 0});
  if (news_.empty()) return;
  assigner_.settle(view, rank_of_sample_, holder);
  for (HolderMap::NewHolder& row : news_) row = {keys[row.key], holder[row.key]};
  sort_by_rank(news_);
}

void BatchAssignment::pack(const Batch& batch, const SampleCodec& codec, int pieces, PackedBatch& packed) {
  encode_new_holders(news_, packed.news);
  packed.samples.resize(static_cast<size_t>(batch.samples * codec.sample_bytes()));
  packed.piece_offset.clear();
  std::byte* to = packed.samples.data();
  for (int piece = 0; piece < pieces; ++piece) {
    packed.piece_offset.push_back(to - packed.samples.data());
    for (size_t rank = 0; rank + 1 < first_of_rank_.size(); ++rank) {
      const int64_t first = first_of_rank_[rank], count = first_of_rank_[rank + 1] - first;
      const int64_t begin = piece_begin(count, piece, pieces), end = piece_begin(count, piece + 1, pieces);
      codec.encode(
          batch, std::span(samples_).subspan(static_cast<size_t>(first + begin), static_cast<size_t>(end - begin)), to);
      to += (end - begin) * codec.sample_bytes();
    }
  }
}

int64_t BatchAssignment::bytes(const TableShapes& shapes, int64_t samples) {
  const int64_t rows = samples * shapes.lookups_per_sample();
  return BatchRows::bytes(shapes, samples) + samples * (2 + 4) +
         2 * rows * static_cast<int64_t>(sizeof(HolderMap::NewHolder));
}

}  // namespace sparrow
