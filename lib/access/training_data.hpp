// Opens the data of a run on all its ranks together: files are scanned once each, by different ranks; gzip files are
// decompressed once per node; row positions are made once and shared through the output folder.
#pragma once

#include <string>
#include <vector>

#include "access/access_counts.hpp"
#include "comm/comm.hpp"
#include "data/dataset.hpp"
#include "data/options.hpp"
#include "data/position_map.hpp"
#include "data/vocabulary.hpp"

namespace sparrow {

/// Where this rank is on its machine.
struct NodePlace {
  int node = 0;  ///< number of its node
  int local_rank = 0;
  int local_size = 1;
};

/// Files that are removed when this goes: decompressed copies.
class ScratchFiles {
 public:
  ScratchFiles() = default;
  ScratchFiles(ScratchFiles&&) = default;
  ScratchFiles& operator=(ScratchFiles&&) = default;
  ~ScratchFiles();
  void add(std::string path) { paths_.push_back(std::move(path)); }

 private:
  std::vector<std::string> paths_;
};

struct TrainingData {
  Dataset train;  ///< with the samples held out, if eval_tail is used
  Dataset eval;   ///< the eval files, or (eval_tail) not used
  SampleRange train_range;
  SampleRange eval_range;  ///< empty: no evaluation
  bool eval_from_tail = false;
  TableShapes shapes;
  PositionMap positions;  ///< id -> position
  PositionMap ids;        ///< position -> id
  AccessCounts counts;    ///< of this run's ranks
  ScratchFiles scratch;

  const Dataset& eval_data() const { return eval_from_tail || eval_range.size() == 0 ? train : eval; }
};

/// Rows and bag sizes of the 26 tables. Throws Error unless max_rows and bag_sizes have 1 (or 0) or 26 entries.
TableShapes table_shapes(const DataOptions& options);

/// Opens `files` on all ranks. Collective. Decompressed copies go to a folder per node in `scratch_folder`.
Dataset open_on_all_ranks(Comm& comm, const NodePlace& place, const std::vector<std::string>& files,
                          int64_t skip_bad_lines, const std::string& scratch_folder, ScratchFiles& scratch);

/// Opens everything, every id being its own position and nothing counted as yet. Collective.
TrainingData open_training_data(Comm& comm, const NodePlace& place, const DataOptions& options,
                                const std::string& scratch_folder);

/// Counts rows and gives them positions, before any batch is read. Collective. state_folder: where both are (read if
/// there: a resumed run) or are written; all ranks share it.
void count_accesses(Comm& comm, const DataOptions& options, const RankParts& parts, const std::string& state_folder,
                    TrainingData& data);

}  // namespace sparrow
