// The files of a checkpoint (checkpoint.hpp): their names, which rows are in which, and the index.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "layout/tables.hpp"

namespace sparrow {

/// How far a run is.
struct RunPosition {
  int64_t steps = 0;
  int64_t samples = 0;  ///< trained, over all passes
};

std::string dense_file(const std::string& folder);
std::string row_file(const std::string& folder, int table, int64_t first);

/// A range of row ids of a table that is one file.
struct RowRange {
  int table;
  int64_t first, count;
};
std::vector<RowRange> row_ranges(const Tables& tables, int64_t rows_per_file);

/// Rows of this many fp32 values: as many as make a file of a quarter of a GiB.
int64_t rows_per_file(int64_t values_per_row);

struct CheckpointIndex {
  RunPosition position;
  int64_t dim = 0, state_dim = 0;
  std::vector<int64_t> rows;  ///< of each table
  int64_t rows_per_file = 1;
};
/// Whole or absent.
void write_index(const std::string& folder, const CheckpointIndex& index);
/// Throws Error "path: ..." for anything but an index.
CheckpointIndex read_index(const std::string& folder);

/// Folder of a checkpoint of a run in `dir`.
std::string checkpoint_folder(const std::string& dir, int64_t samples);
/// Those with an index, oldest first.
std::vector<std::string> whole_checkpoints(const std::string& dir);
/// Those without one, left by runs that ended while they wrote or removed them.
std::vector<std::string> broken_checkpoints(const std::string& dir);
/// Its index first, so that what is left of it is never taken for whole. Throws std::filesystem::filesystem_error.
void remove_checkpoint(const std::string& folder);

}  // namespace sparrow
