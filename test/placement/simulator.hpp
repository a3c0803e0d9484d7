// A trace simulation of one iteration, written from the description of the exchange alone: explicit instances of every
// domain, explicit samples, a random holder per copy and a random proxy per domain, rows moved one by one. It knows no
// expectation and no cost model.
#pragma once

#include <array>
#include <map>
#include <random>
#include <vector>

#include "placement/cost/cost.hpp"
#include "placement/cost/cost_model.hpp"
#include "placement/model/plan.hpp"

namespace sparrow::placement {

/// Bytes of (flow, stage, domain type, direction), mean over the instances of the type.
using Counted = std::map<std::tuple<Flow, int, int, Direction>, double>;

struct Simulated {
  Counted bytes;
  std::map<int, double> distinct_rows;  ///< by rank type, mean over instances
  double pairs = 0;                     ///< (sample, holder) pairs of pooled tables that left their rank
};

/// One iteration with fresh samples. All rows of table t take options[t]; batches are those of the topology (whole
/// numbers per rank).
Simulated simulate(const Topology& topology, const Workload& workload, const std::vector<Option>& options,
                   const std::vector<Transport>& transports, std::mt19937_64& random);

/// Bytes by (flow, stage, instance, direction); instances are numbered parents first.
using CountedByInstance = std::map<std::tuple<Flow, int, int, Direction>, double>;
struct Traced {
  CountedByInstance bytes;
  std::vector<int> type;  ///< by instance
};

/// One iteration of a run of the plan: rows are where its holder rule says, and move as the trainer moves them. Only
/// which domain adds up for others, a hash of the row there, goes round with `turn`.
Traced trace(const Topology& topology, const Workload& workload, const Plan& plan, int64_t turn,
             std::mt19937_64& random);

}  // namespace sparrow::placement
