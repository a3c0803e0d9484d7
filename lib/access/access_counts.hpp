// How often rows are looked up, counted when a run starts: what their positions and its first plan are made from.
//
// Where every batch is divided among the ranks (data.split: batches) all ranks draw from the same rows. Where each rank
// has data of its own (data.split: ranks) every rank counts a sample of its own part, as large a part of
// data.count_samples as its part is of the data, and rank 0 puts ranks with like data into access groups and rows with
// like counts in every group into classes (access/group_counts.hpp). Counts files (data.counts) know no ranks: with them
// all ranks are planned for as if they drew alike, and the run says so.
//
// What is found is kept in the folder of positions:
//   positions_TT.npy         data/position_map.hpp
//   histogram_TT.npy         where all ranks draw alike: (count, rows)
//   groups.json              else: the group and the samples of each rank, by table the ratio of counts taken to be alike
//   group_histogram_TT.npy   int64 (classes, 1 + groups): rows of the class and their lookups by group, in the order of
//                            positions
#pragma once

#include <string>
#include <vector>

#include "comm/comm.hpp"
#include "data/dataset.hpp"
#include "data/options.hpp"
#include "data/vocabulary.hpp"
#include "placement/model/distribution.hpp"

namespace sparrow {

struct AccessCounts {
  std::vector<placement::TableDistribution> tables;  ///< classes in the order of positions
  bool grouped = false;                              ///< positions go by class of group_histogram_TT.npy
  std::vector<int> group_of_rank;                    ///< empty: all ranks draw alike
};

/// What each rank trains on, where ranks see different data; no parts: they do not.
struct RankParts {
  std::vector<SampleRange> of_rank;
  std::vector<int> groups;  ///< access groups that the topology gives; empty: to be found
};

/// Makes positions, and what else this file's opening says, in `folder`, unless an earlier run left them there.
/// Collective: all ranks share the folder.
void make_counts(Comm& comm, const DataOptions& options, const Dataset& train, SampleRange range,
                 const TableShapes& shapes, const RankParts& parts, const std::string& folder);

/// Reads them back, on every rank for itself. Counts of other parts than these (a run continued on other ranks, or with
/// other shares) are taken together, as if all ranks drew alike. Throws Error for files that are damaged.
AccessCounts load_counts_of_run(const std::string& folder, const DataOptions& options, SampleRange range,
                                const TableShapes& shapes, const RankParts& parts);

}  // namespace sparrow
