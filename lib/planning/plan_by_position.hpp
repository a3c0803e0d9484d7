// A plan made for the classes of access profiles (access/access_profile.hpp) names rows by their place in the order of
// classes; here it is brought back to positions. Within a class rows are alike, so those that have an option already
// keep it as far as the plan has room for it, and only the others move.
//
// Example: of the classes {0 1 2 7}, {4 5 6}, {3}, a plan that replicates the first 4 rows in that order replicates
// positions 0 1 2 and 7.
#pragma once

#include <vector>

#include "access/access_profile.hpp"
#include "placement/model/plan.hpp"

namespace sparrow {

/// A plan by position, as a placement by classes of the profiles, to cost it.
placement::Placement placement_by_class(const placement::Plan& plan, const std::vector<AccessProfile>& profiles);

/// `ranked` names rows by their order in the profiles' classes; the result names them by position, moves as few of
/// `current`'s rows as the classes allow, and keeps its offsets.
placement::Plan by_position(const placement::Plan& ranked, const std::vector<AccessProfile>& profiles,
                            const placement::Plan& current);

}  // namespace sparrow
