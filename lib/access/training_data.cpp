#include "access/training_data.hpp"

#include <spdlog/spdlog.h>

#include "base/error.hpp"
#include "data/criteo.hpp"

namespace sparrow {

TableShapes table_shapes(const DataOptions& options) {
  TableShapes shapes;
  shapes.rows = options.max_rows;
  if (shapes.rows.size() == 1) shapes.rows.assign(kCriteoTables, options.max_rows[0]);
  shapes.bag_sizes = options.bag_sizes;
  if (shapes.bag_sizes.size() == 1) shapes.bag_sizes.assign(kCriteoTables, options.bag_sizes[0]);
  shapes.check();
  return shapes;
}

TrainingData open_training_data(Comm& comm, const NodePlace& place, const DataOptions& options,
                                const std::string& scratch_folder) {
  if (options.train.empty()) fail("data.train names no files");
  const TableShapes shapes = table_shapes(options);
  ScratchFiles scratch;
  Dataset train = open_on_all_ranks(comm, place, options.train, options.skip_bad_lines, scratch_folder, scratch);
  if (train.bad_lines() > 0 && comm.rank() == 0) spdlog::warn("{} malformed lines skipped", train.bad_lines());
  std::optional<Dataset> eval;
  SampleRange train_range = train.all(), eval_range;
  if (!options.eval.empty()) {
    eval = open_on_all_ranks(comm, place, options.eval, options.skip_bad_lines, scratch_folder, scratch);
    eval_range = eval->all();
  } else if (options.eval_tail > 0) {
    train_range = train.before_tail(options.eval_tail);
    eval_range = train.tail(options.eval_tail);
  }
  return {std::move(train),         std::move(eval),          train_range, eval_range,        shapes,
          PositionMap(shapes.rows), PositionMap(shapes.rows), {},          std::move(scratch)};
}

void count_accesses(Comm& comm, const DataOptions& options, const RankParts& parts, const std::string& state_folder,
                    TrainingData& data) {
  const std::string folder = state_folder + "/positions";
  make_counts(comm, options, data.train, data.train_range, data.shapes, parts, folder);
  data.positions = PositionMap::load(folder, data.shapes.rows);
  data.ids = data.positions.inverse();
  data.counts = load_counts_of_run(folder, options, data.train_range, data.shapes, parts);
}

}  // namespace sparrow
