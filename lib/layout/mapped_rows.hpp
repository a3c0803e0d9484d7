// Mapped rows: those whose holders a map says (holder_map.hpp) where a run has one. Which rows of a plan they are, how
// much room ranks have for them, and who holds those that nobody has used.
#pragma once

#include <cstdint>
#include <vector>

#include "layout/holder_map.hpp"
#include "layout/resolved_plan.hpp"

namespace sparrow {

/// Whether rows with this option and rule are mapped: their table's holders are by first use, there is one copy, in
/// device memory, and it travels as a row.
bool is_mapped(const ResolvedOption& option, const TableRule& rule);

/// The keys of mapped rows, ascending; neighbours are one range.
std::vector<KeyRange> mapped_keys(const Tables& tables, const ResolvedPlan& plan);
/// Keys that are in either, each list ascending and without overlaps.
std::vector<KeyRange> united(const std::vector<KeyRange>& a, const std::vector<KeyRange>& b);
/// Keys that are in a and not in b, each list ascending and without overlaps.
std::vector<KeyRange> without(const std::vector<KeyRange>& a, const std::vector<KeyRange>& b);
/// Whether a key is in one of them.
bool contains(const std::vector<KeyRange>& ranges, int64_t key);

/// By rank: how many mapped rows it would hold by arithmetic.
std::vector<int64_t> mapped_rows_by_arithmetic(const ResolvedPlan& plan, int ranks);

/// Most mapped rows of each rank: what it would hold by arithmetic, a tenth more and a few, at most `limit`. Throws
/// Error, saying which limits, if all ranks together then have no room for all mapped rows.
std::vector<int64_t> room_of_mapped_rows(const ResolvedPlan& plan, const std::vector<int64_t>& limit);

/// On all ranks, between batches: mapped rows in the ranges that nobody holds get the holders that arithmetic names, or,
/// within_room, others where these are full.
void place_by_arithmetic(HolderMap& map, const Tables& tables, const ResolvedPlan& plan,
                         const std::vector<KeyRange>& ranges, bool within_room = true);

}  // namespace sparrow
