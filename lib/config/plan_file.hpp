// Plans as JSON files: written by `sparrow plan --out`, read by `placement.plan` of a configuration. What the fields
// mean is said in placement/plan.hpp; every field is written, and every one must be there.
//
//   {
//   "format": "sparrow-plan", "version": 1,
//   "strategy": "optimal", "topology": "dgx-h100", "global_batch": 4096,
//   "batch_shares": [0.125],                  of one rank, per type of rank in the order of the topology
//   "options": [
//     {"level": 0, "reduction": "sparse", "sites": [{"domain": 1, "store": 0, "name": "node/gpu:hbm"}]},
//     {"level": 1, "reduction": "dense",  "sites": [{"domain": 1, "store": 0, "name": "node/gpu:hbm"}]}
//   ],
//   "tables": [
//     {"name": "C1", "rows": 1000, "transport": "staged", "offset": 3, "holder_slot": -1,
//      "intervals": [[0, 10, 1], [10, 1000, 0]]}      [first, last, option]: positions first .. last - 1
//   ]}
//
// Positions count rows by falling frequency. Sites name their store twice, by number and by name: a plan made for
// another topology is refused, not reinterpreted. Files of older programs have four keys more per table, which are read:
// "deduplicated": false is transport pooled, "partial_sums": true partial_sums, "exceptions": [[500, 1]] gives position
// 500 option 1, "slices" is empty.
#pragma once

#include <string>
#include <string_view>

#include "placement/model/plan.hpp"

namespace sparrow {

/// The same plan gives the same bytes. The topology is the one that the plan was made for.
std::string write_plan(const placement::Plan& plan, const placement::Topology& topology);

/// Writes the file under a name of its own and renames it, so that it is whole or absent.
void save_plan(const std::string& path, const placement::Plan& plan, const placement::Topology& topology);

/// Throws Error naming file and key for anything that is not a plan of version 1 for this topology. What it says of
/// rows and memory is then checked by placement::check.
placement::Plan load_plan(const std::string& path, const placement::Topology& topology);
placement::Plan parse_plan(std::string_view text, const std::string& name, const placement::Topology& topology);

}  // namespace sparrow
