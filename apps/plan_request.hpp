// What `sparrow plan` was asked, and what is answered.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/options.hpp"
#include "placement/model/locality_profile.hpp"
#include "planning/decide.hpp"

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
  OptimizerKind optimizer{};      ///< of the rows
  DType wire{};
  bool overlapped = false;
  bool combine = true;
  bool deduplicate = false;              ///< what a named strategy moves, as training does
  bool planned_shares = false;           ///< split the batch over unequal ranks so that T falls
  std::string locality;                  ///< file: what is known of samples that go to their rows; empty: nothing
  int assign_threads = 0;                ///< cores of a rank that do nothing but assign them; 0: those that compute do
  std::optional<int64_t> device_memory;  ///< of every rank that has samples, instead of the topology's
  bool all_strategies = false;
  std::optional<placement::Strategy> strategy;  ///< to show instead of the optimum
  bool optimize_batch = false;
  std::string explain;              ///< TABLE[:POSITION]
  std::vector<std::string> sweeps;  ///< "memory=1GiB,4GiB"
  std::string out;
  bool json = false;
};

/// Reads and checks the command line; nothing when only help was asked for (and printed).
std::optional<PlanRequest> parse_plan_request(int argc, char** argv);

/// The parts of a list.
std::vector<std::string> split_at_commas(const std::string& text);
/// A number from `least` to `most`. Throws Error that begins with `name`.
double parse_number(const std::string& name, const std::string& text, double least, double most);
int64_t parse_whole(const std::string& name, const std::string& text, double least, double most);

/// The tables' access distributions, read once; independent of the topology, batch and model.
struct PlanTables {
  std::vector<std::string> names;
  std::vector<placement::TableDistribution> access;
  std::vector<double> lookups;
  std::optional<placement::LocalityProfile> locality;

  void add(std::string name, placement::TableDistribution distribution, double lookups_per_sample = 1) {
    names.push_back(std::move(name));
    access.push_back(std::move(distribution));
    lookups.push_back(lookups_per_sample);
  }
};
PlanTables load_plan_tables(const PlanRequest& request);

/// What is reported: the optimum, or one named strategy with the optimum beside it.
struct PlanAnswer {
  placement::Topology topology;  ///< with the memory and the shares of the batch that were asked for
  placement::Workload workload;
  Decision decision;                        ///< where no strategy is asked for
  std::vector<std::string> locality_notes;  ///< what lies beyond the measurements of the profile
  placement::Plan plan;
  placement::Cost cost;
  double dense_bytes_sent = 0;  ///< of a rank, for the dense parameters

  const placement::Solution& optimum() const { return *decision.optimum; }
};
/// topology is that of the file. Throws Error for a request that does not fit it, and for rows that do not fit.
PlanAnswer answer(const PlanRequest& request, const PlanTables& tables, const placement::Topology& topology);

}  // namespace sparrow
