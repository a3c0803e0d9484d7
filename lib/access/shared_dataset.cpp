#include "access/shared_dataset.hpp"

#include <spdlog/spdlog.h>

#include <filesystem>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "data/gzip.hpp"

namespace sparrow {

namespace fs = std::filesystem;

ScratchFiles::~ScratchFiles() {
  for (const std::string& path : paths_) {
    std::error_code ignored;  // a destructor must not throw; a file left behind in scratch does no harm
    fs::remove(path, ignored);
  }
}

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

  std::vector<ShardIndex> scanned;
  for (auto i = static_cast<size_t>(comm.rank()); i < names.size(); i += static_cast<size_t>(comm.size()))
    scanned.push_back(scan_shard(names[i], paths[i], skip_bad_lines));
  std::vector<std::vector<ShardIndex>> of_rank;
  for (const std::string& bytes : all_gather(comm, serialize(scanned)))
    of_rank.push_back(deserialize_shard_indexes(bytes));
  std::vector<ShardIndex> indexes;
  for (size_t i = 0; i < names.size(); ++i) {
    indexes.push_back(std::move(of_rank[i % of_rank.size()].at(i / of_rank.size())));
    if (!paths[i].empty()) indexes.back().path = paths[i];  // each node reads its own copy
  }
  return Dataset(std::move(indexes), skip_bad_lines);
}

}  // namespace sparrow
