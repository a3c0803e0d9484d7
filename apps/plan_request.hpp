// What `sparrow plan` was asked, and the planning problem that follows from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/options.hpp"
#include "placement/solve/solve.hpp"
#include "synthetic/presets.hpp"

namespace sparrow {

struct PlanRequest {
  std::string topology;      ///< file
  std::string counts;        ///< folder of histogram_NN.npy or table_NN.npy; or
  std::string tables;        ///< a preset or a list of row counts, with
  std::string distribution;  ///< a law; empty: the preset's own
  bool sampled = false;      ///< the counts are of a sample of the data
  int64_t batch = 0;
  ModelOptions model;
  std::vector<double> bag_sizes;  ///< lookups per table; empty: 1
  bool multi_hot = false;         ///< the preset's bag sizes
  std::string optimizer;          ///< of the rows: sgd | adagrad | rowwise_adagrad
  bool bf16_wire = false;
  bool overlapped = false;
  bool combine = true;
  bool planned_shares = false;           ///< split the batch over unequal ranks so that T falls
  std::optional<int64_t> device_memory;  ///< of every rank that has samples, instead of the topology's
  std::string strategy;                  ///< all | optimal | a named one
  bool optimize_batch = false;
  std::string explain;              ///< TABLE[:POSITION]
  std::vector<std::string> sweeps;  ///< "memory=1GiB,4GiB"
  std::string out;
  bool json = false;
};

/// Reads and checks the command line; nothing when only help was asked for (and printed).
std::optional<PlanRequest> parse_plan_request(int argc, char** argv);

/// The tables' access distributions, read once; independent of the topology, batch and model.
struct PlanTables {
  std::vector<std::string> names;
  std::vector<placement::TableDistribution> access;
  std::vector<double> lookups;
};
PlanTables load_plan_tables(const PlanRequest& request);

struct PlanProblem {
  placement::Topology topology;
  placement::Workload workload;
  placement::SolveOptions options;
};
/// topology is that of the file. Throws Error for a request that does not fit it.
PlanProblem make_problem(const PlanRequest& request, const PlanTables& tables, const placement::Topology& topology);

/// What is reported: the optimum, or one named strategy with the optimum beside it.
struct PlanAnswer {
  PlanProblem problem;
  placement::Solution solution;
  placement::Plan plan;  ///< of the strategy asked for
  placement::Cost cost;  ///< its cost
};
/// Solves, checks the plan independently, and picks the strategy asked for. Throws Error when it does not fit.
PlanAnswer answer(const PlanRequest& request, const PlanTables& tables, const placement::Topology& topology);

}  // namespace sparrow
