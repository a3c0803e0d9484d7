// Opens the data of a run on all its ranks together: files are scanned once each, by different ranks; gzip files are
// decompressed once per node; row positions are made once and shared through the output folder.
#pragma once

#include <string>
#include <vector>

#include "comm/comm.hpp"
#include "data/counts.hpp"
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

/// How often rows are used: histograms by table of counts over the data, or over a sample of it.
struct AccessCounts {
  std::vector<std::vector<CountGroup>> histograms;
  bool sampled = false;  ///< rows never seen may still come
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
  AccessCounts counts;
  ScratchFiles scratch;

  const Dataset& eval_data() const { return eval_from_tail || eval_range.size() == 0 ? train : eval; }
};

/// Rows and bag sizes of the 26 tables. Throws Error unless max_rows and bag_sizes have 1 (or 0) or 26 entries.
TableShapes table_shapes(const DataOptions& options);

/// Opens `files` on all ranks. Collective. Decompressed copies go to a folder per node in `scratch_folder`.
Dataset open_on_all_ranks(Comm& comm, const NodePlace& place, const std::vector<std::string>& files,
                          int64_t skip_bad_lines, const std::string& scratch_folder, ScratchFiles& scratch);

/// Opens everything. Collective. state_folder: where positions are (read if there: a resumed run) or are written; all
/// ranks share it.
TrainingData open_training_data(Comm& comm, const NodePlace& place, const DataOptions& options,
                                const std::string& scratch_folder, const std::string& state_folder);

}  // namespace sparrow
