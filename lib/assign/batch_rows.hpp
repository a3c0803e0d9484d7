// The distinct rows of a whole global batch that matter to whoever assigns its samples, and which sample looks up which:
// the samples of a batch as the assigner takes them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "assign/assigner.hpp"
#include "assign/row_places.hpp"
#include "data/batch.hpp"
#include "data/vocabulary.hpp"

namespace sparrow {

/// Keeps its memory from batch to batch.
class BatchRows {
 public:
  BatchRows(TableShapes shapes, const Tables& tables, RowPlaces places);

  /// Finds the rows of a batch. Holders of placed rows are known from then on, those of mapped ones are kNobody.
  void find(const Batch& batch);

  /// As the assigner takes them; valid until the next find().
  AssignerBatch view(std::span<const int64_t> quota, bool with_turns) const;
  std::span<const int64_t> keys() const { return keys_; }
  std::span<int16_t> holder() { return holder_; }
  /// Rows (numbers in keys()) whose holders a map names, ascending.
  std::span<const int32_t> mapped() const { return mapped_; }

  /// Bytes that batches of up to `samples` take here, at most.
  static int64_t bytes(const TableShapes& shapes, int64_t samples);

 private:
  void find_direct(int table, std::span<const int64_t> positions, int32_t* row_of_lookup);
  void find_hashed(int table, std::span<const int64_t> positions, int32_t* row_of_lookup);
  int32_t add(int table, int64_t position);
  void list_by_sample(int64_t samples);

  TableShapes shapes_;
  RowPlaces places_;
  std::vector<int64_t> first_key_;      ///< [tables]
  std::vector<int32_t> row_of_lookup_;  ///< table major; negative: it does not matter
  std::vector<int32_t> slots_;          ///< of the hash table, or by position
  std::vector<int64_t> seen_;           ///< distinct positions of the table at hand
  std::vector<int32_t> row_of_seen_;
  std::vector<int64_t> first_, keys_, turn_, next_;
  std::vector<int32_t> rows_, mapped_;
  std::vector<int16_t> holder_;
};

}  // namespace sparrow
