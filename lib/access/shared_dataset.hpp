// Opens a data set on all ranks of a run together: files are scanned once each, by different ranks; gzip files are
// decompressed once per node.
#pragma once

#include <string>
#include <vector>

#include "comm/comm.hpp"
#include "data/dataset.hpp"

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

/// Opens `files` on all ranks. Collective. Decompressed copies go to a folder per node in `scratch_folder`.
Dataset open_on_all_ranks(Comm& comm, const NodePlace& place, const std::vector<std::string>& files,
                          int64_t skip_bad_lines, const std::string& scratch_folder, ScratchFiles& scratch);

}  // namespace sparrow
