// What a rank does with a global batch when it is its turn: who trains which sample, who holds the rows that nobody held
// before, and both as bytes for the way. No messages here: who calls it has the samples and knows the holders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "assign/assigner.hpp"
#include "assign/batch_rows.hpp"
#include "data/batch.hpp"
#include "data/sample_codec.hpp"
#include "layout/holder_map.hpp"
#include "placement/model/plan.hpp"

namespace sparrow {

using placement::SampleAssignment;

/// The samples of a part that are in one of its pieces: from piece_begin(.., piece, ..) to that of the next.
constexpr int64_t piece_begin(int64_t samples, int piece, int pieces) {
  return samples * piece / pieces;
}

/// An assigned batch as bytes.
struct PackedBatch {
  std::vector<std::byte> samples;     ///< blocks of the codec: by piece, then by rank
  std::vector<int64_t> piece_offset;  ///< [pieces]: in bytes
  std::vector<std::byte> news;        ///< new holders (new_holders.hpp)
  std::string error;                  ///< why there is none; empty: there is one
};

/// Keeps its memory from batch to batch. The calls of a batch in this order.
class BatchAssignment {
 public:
  /// first_use: whether there is a map of holders, so that rows without one get one.
  BatchAssignment(const TableShapes& shapes, const Tables& tables, const RowPlaces& places, AssignerTree tree,
                  const SampleAssignment& assignment, bool first_use, int threads);

  /// Needs no holders.
  void find_rows(const Batch& batch) { rows_.find(batch); }

  /// Reads the map.
  void read_holders(const HolderMap& map);
  /// Rows with these keys count as held by nobody.
  void forget_holders(std::span<const int64_t> keys);

  /// quota [ranks]: samples of each; sums to the batch.
  void assign(std::span<const int64_t> quota);

  void pack(const Batch& batch, const SampleCodec& codec, int pieces, PackedBatch& packed);

  /// Bytes that batches of up to `samples` take here at most, but for the assigner's.
  static int64_t bytes(const TableShapes& shapes, int64_t samples);

 private:
  void list_by_rank(std::span<const int64_t> quota);
  void settle(const AssignerBatch& view);

  BatchRows rows_;
  Assigner assigner_;
  bool local_, first_use_, with_turns_;
  std::vector<int16_t> rank_of_sample_;
  std::vector<int32_t> samples_;               ///< by rank, ascending
  std::vector<int64_t> first_of_rank_, next_;  ///< [ranks + 1]: in samples_
  std::vector<int64_t> key_slots_;             ///< hash table of forget_holders
  std::vector<HolderMap::NewHolder> news_;
};

}  // namespace sparrow
