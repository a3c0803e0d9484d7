#include "access/training_data.hpp"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <numeric>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "data/batch.hpp"
#include "data/criteo.hpp"
#include "data/gzip.hpp"

namespace sparrow {

namespace fs = std::filesystem;

ScratchFiles::~ScratchFiles() {
  for (const std::string& path : paths_) {
    std::error_code ignored;  // a destructor must not throw; a file left behind in scratch does no harm
    fs::remove(path, ignored);
  }
}

TableShapes table_shapes(const DataOptions& options) {
  TableShapes shapes;
  shapes.rows = options.max_rows;
  if (shapes.rows.size() == 1) shapes.rows.assign(kCriteoTables, options.max_rows[0]);
  shapes.bag_sizes = options.bag_sizes;
  if (shapes.bag_sizes.size() == 1) shapes.bag_sizes.assign(kCriteoTables, options.bag_sizes[0]);
  shapes.check();
  return shapes;
}

namespace {

/// Indexes travel as one string per rank: 8 bytes of length, then the bytes, for each file it scanned.
void append(std::string& text, const std::string& bytes) {
  const uint64_t size = bytes.size();
  text.append(reinterpret_cast<const char*>(&size), sizeof size);
  text.append(bytes);
}

std::string take(std::string_view& text) {
  uint64_t size = 0;
  SPARROW_CHECK(text.size() >= sizeof size);
  std::copy_n(text.data(), sizeof size, reinterpret_cast<char*>(&size));
  text.remove_prefix(sizeof size);
  SPARROW_CHECK(text.size() >= size);
  std::string bytes(text.substr(0, size));
  text.remove_prefix(size);
  return bytes;
}

}  // namespace

Dataset open_on_all_ranks(Comm& comm, const NodePlace& place, const std::vector<std::string>& files,
                          int64_t skip_bad_lines, const std::string& scratch_folder, ScratchFiles& scratch) {
  const std::vector<std::string> names = expand_files(files);
  const std::string folder = fmt::format("{}/decompressed/node_{}", scratch_folder, place.node);
  std::vector<std::string> paths(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    if (!is_gzip(names[i])) continue;
    paths[i] = scratch_name(names[i], folder);
    if (static_cast<int>(i % static_cast<size_t>(place.local_size)) != place.local_rank) continue;
    fs::create_directories(folder);
    scratch.add(paths[i]);
    spdlog::debug("decompressing {}", names[i]);
    decompress_gzip(names[i], paths[i]);
  }
  barrier(comm);  // every decompressed copy is there

  const auto ranks = static_cast<size_t>(comm.size());
  std::string mine;
  for (auto i = static_cast<size_t>(comm.rank()); i < names.size(); i += ranks)
    append(mine, serialize(scan_shard(names[i], paths[i], skip_bad_lines)));
  const std::vector<std::string> all = all_gather(comm, mine);
  std::vector<std::string_view> rest(all.begin(), all.end());
  std::vector<ShardIndex> indexes;
  for (size_t i = 0; i < names.size(); ++i) {
    indexes.push_back(deserialize_shard_index(take(rest[i % ranks])));
    if (!paths[i].empty()) indexes.back().path = paths[i];  // each node reads its own copy
  }
  return Dataset(std::move(indexes), skip_bad_lines);
}

TrainingData open_training_data(Comm& comm, const NodePlace& place, const DataOptions& options,
                                const std::string& scratch_folder) {
  if (options.train.empty()) fail("data.train names no files");
  const TableShapes shapes = table_shapes(options);
  ScratchFiles scratch;
  Dataset train = open_on_all_ranks(comm, place, options.train, options.skip_bad_lines, scratch_folder, scratch);
  const bool tail = options.eval.empty() && options.eval_tail > 0;
  const SampleRange train_range = tail ? train.before_tail(options.eval_tail) : train.all();
  SampleRange eval_range = tail ? train.tail(options.eval_tail) : SampleRange{};
  if (train.bad_lines() > 0 && comm.rank() == 0) spdlog::warn("{} malformed lines skipped", train.bad_lines());
  Dataset eval = options.eval.empty()
                     ? Dataset(train.shards(), options.skip_bad_lines)
                     : open_on_all_ranks(comm, place, options.eval, options.skip_bad_lines, scratch_folder, scratch);
  if (!options.eval.empty()) eval_range = eval.all();
  return {std::move(train),         std::move(eval),          train_range, eval_range,        tail, shapes,
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
