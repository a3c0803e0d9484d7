#include "assign/batch_rows.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/error.hpp"

namespace sparrow {
namespace {

constexpr int32_t kUnknown = -1, kFree = -2;  // a position not seen yet; a row that does not matter

/// Slots of a hash table for so many keys: at most half are used.
uint64_t hash_slots(int64_t keys) {
  return std::bit_ceil(static_cast<uint64_t>(2 * keys + 2));
}

}  // namespace

BatchRows::BatchRows(TableShapes shapes, const Tables& tables, RowPlaces places)
    : shapes_(std::move(shapes)), places_(std::move(places)) {
  for (int t = 0; t < tables.count(); ++t) first_key_.push_back(tables.first_key(t));
}

void BatchRows::find(const Batch& batch) {
  keys_.clear();
  turn_.clear();
  holder_.clear();
  mapped_.clear();
  row_of_lookup_.resize(batch.positions.size());
  size_t done = 0;
  for (int t = 0; t < shapes_.tables(); ++t) {
    const auto count = static_cast<size_t>(batch.samples * shapes_.bag_size(t));
    const std::span<const int64_t> positions = batch.positions.subspan(done, count);
    // A slot for every position where those are no more than a hash table would have.
    if (static_cast<uint64_t>(shapes_.rows[t]) <= hash_slots(static_cast<int64_t>(count)))
      find_direct(t, positions, row_of_lookup_.data() + done);
    else
      find_hashed(t, positions, row_of_lookup_.data() + done);
    done += count;
  }
  list_by_sample(batch.samples);
}

/// The number of a row that is new in this batch, or kFree.
int32_t BatchRows::add(int table, int64_t position) {
  const RowPlaces::Place place = places_.of(table, position);
  if (place.kind == RowPlaces::Kind::free) return kFree;
  const auto row = static_cast<int32_t>(keys_.size());
  if (place.kind == RowPlaces::Kind::mapped) mapped_.push_back(row);
  keys_.push_back(first_key_[table] + position);
  turn_.push_back(place.turn);
  holder_.push_back(place.holder);
  return row;
}

void BatchRows::find_direct(int table, std::span<const int64_t> positions, int32_t* row_of_lookup) {
  slots_.assign(static_cast<size_t>(shapes_.rows[table]), kUnknown);
  for (size_t i = 0; i < positions.size(); ++i) {
    int32_t& row = slots_[static_cast<size_t>(positions[i])];
    if (row == kUnknown) row = add(table, positions[i]);
    row_of_lookup[i] = row;
  }
}

void BatchRows::find_hashed(int table, std::span<const int64_t> positions, int32_t* row_of_lookup) {
  const uint64_t size = hash_slots(static_cast<int64_t>(positions.size()));
  const int shift = 64 - std::countr_zero(size);
  slots_.assign(size, kUnknown);
  seen_.clear();
  row_of_seen_.clear();
  for (size_t i = 0; i < positions.size(); ++i) {
    // Fibonacci hashing: the top bits of the product depend on all bits of the position.
    uint64_t slot = static_cast<uint64_t>(positions[i]) * 0x9E3779B97F4A7C15u >> shift;
    while (slots_[slot] != kUnknown && seen_[static_cast<size_t>(slots_[slot])] != positions[i])
      slot = (slot + 1) & (size - 1);
    if (slots_[slot] == kUnknown) {
      slots_[slot] = static_cast<int32_t>(seen_.size());
      seen_.push_back(positions[i]);
      row_of_seen_.push_back(add(table, positions[i]));
    }
    row_of_lookup[i] = row_of_seen_[static_cast<size_t>(slots_[slot])];
  }
}

/// From lists by table to lists by sample.
void BatchRows::list_by_sample(int64_t samples) {
  first_.assign(static_cast<size_t>(samples) + 1, 0);
  const auto each = [&](auto&& visit) {
    const int32_t* row = row_of_lookup_.data();
    for (int t = 0; t < shapes_.tables(); ++t)
      for (int64_t s = 0; s < samples; ++s)
        for (int j = 0; j < shapes_.bag_size(t); ++j, ++row)
          if (*row >= 0) visit(s, *row);
  };
  each([&](int64_t s, int32_t) { ++first_[s + 1]; });
  std::partial_sum(first_.begin(), first_.end(), first_.begin());
  next_.assign(first_.begin(), first_.end() - 1);
  rows_.resize(static_cast<size_t>(first_.back()));
  each([&](int64_t s, int32_t row) { rows_[next_[s]++] = row; });
}

AssignerBatch BatchRows::view(std::span<const int64_t> quota, bool with_turns) const {
  AssignerBatch batch;
  batch.first = first_;
  batch.rows = rows_;
  batch.keys = keys_;
  batch.holder = holder_;
  if (with_turns) batch.turn = turn_;
  batch.quota = quota;
  return batch;
}

int64_t BatchRows::bytes(const TableShapes& shapes, int64_t samples) {
  const int64_t lookups = samples * shapes.lookups_per_sample();
  int64_t longest = 0;
  for (int t = 0; t < shapes.tables(); ++t) longest = std::max(longest, samples * shapes.bag_size(t));
  // By lookup: where its row is and its place in the list of its sample; by row: key, turn, number if mapped, holder;
  // vectors that grow may have twice what they need.
  return lookups * (4 + 4) + 2 * lookups * (8 + 8 + 4 + 2) + 2 * samples * 8 +
         static_cast<int64_t>(hash_slots(longest)) * 4 + 2 * longest * (8 + 4);
}

}  // namespace sparrow
