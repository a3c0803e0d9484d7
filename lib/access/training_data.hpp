// The data of a run: samples to train on and to evaluate on, and how often their rows are looked up, which gives rows
// their positions: made once and shared through the output folder.
#pragma once

#include <optional>
#include <string>

#include "access/access_counts.hpp"
#include "access/shared_dataset.hpp"
#include "data/options.hpp"
#include "data/position_map.hpp"
#include "data/vocabulary.hpp"

namespace sparrow {

struct TrainingData {
  Dataset train;                ///< with the samples held out, if eval_tail is used
  std::optional<Dataset> eval;  ///< the eval files, if there are any
  SampleRange train_range;
  SampleRange eval_range;  ///< empty: no evaluation
  TableShapes shapes;
  PositionMap positions;  ///< id -> position
  PositionMap ids;        ///< position -> id
  AccessCounts counts;    ///< of this run's ranks
  ScratchFiles scratch;

  const Dataset& eval_data() const { return eval ? *eval : train; }
};

/// Rows and bag sizes of the 26 tables. Throws Error unless max_rows and bag_sizes have 1 (or 0) or 26 entries.
TableShapes table_shapes(const DataOptions& options);

/// Opens everything, every id being its own position and nothing counted as yet. Collective.
TrainingData open_training_data(Comm& comm, const NodePlace& place, const DataOptions& options,
                                const std::string& scratch_folder);

/// Counts rows and gives them positions, before any batch is read. Collective. state_folder: where both are (read if
/// there: a resumed run) or are written; all ranks share it.
void count_accesses(Comm& comm, const DataOptions& options, const RankParts& parts, const std::string& state_folder,
                    TrainingData& data);

}  // namespace sparrow
