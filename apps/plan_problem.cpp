// From a request to a planning problem: access distributions, the model's sizes, the machine; and its solution.
#include <algorithm>
#include <array>
#include <cmath>

#include "access/distributions.hpp"
#include "base/error.hpp"
#include "data/criteo.hpp"
#include "model/model_shape.hpp"
#include "placement/model/plan.hpp"
#include "plan_request.hpp"

namespace sparrow {
namespace {

constexpr int64_t kMostTables = 10'000;

PlanTables load_counts(const PlanRequest& request) {
  PlanTables tables;
  for (int64_t t = 0; t < kMostTables; ++t) {
    const auto histogram = load_histogram(request.counts, t);
    if (!histogram) break;
    tables.access.push_back(request.sampled ? from_sample(*histogram, rows_of(*histogram))
                                            : from_histogram(*histogram));
    tables.names.push_back(fmt::format("table_{:02}", t));
    tables.lookups.push_back(1);
  }
  if (tables.access.empty()) fail("{}: neither histogram_00.npy nor table_00.npy is there", request.counts);
  return tables;
}

PlanTables make_tables(const PlanRequest& request) {
  PlanTables tables;
  const auto preset = find_preset(request.tables);
  if (!preset && request.distribution.empty())
    fail("--tables {}: a list of rows needs --distribution LAW", request.tables);
  std::optional<Law> law;
  if (!request.distribution.empty()) law = parse_law(request.distribution);
  if (preset) {
    for (const auto& table : *preset) {
      tables.names.push_back(table.name);
      tables.access.push_back(law ? from_law(*law, table.rows) : preset_distribution(table));
      tables.lookups.push_back(request.multi_hot ? static_cast<double>(table.multi_hot) : 1);
    }
    return tables;
  }
  if (request.multi_hot) fail("--bag-sizes multi-hot: known for criteo-terabyte only; give numbers");
  for (int64_t rows : parse_table_rows(request.tables)) {
    tables.names.push_back(fmt::format("T{}", tables.names.size() + 1));
    tables.access.push_back(from_law(*law, rows));
    tables.lookups.push_back(1);
  }
  return tables;
}

placement::Workload make_workload(const PlanRequest& request, const PlanTables& tables) {
  const int64_t dim = request.model.embedding_dim;
  std::vector<double> lookups = tables.lookups;
  if (request.bag_sizes.size() == 1) lookups.assign(lookups.size(), request.bag_sizes[0]);
  if (request.bag_sizes.size() > 1) lookups = request.bag_sizes;
  if (lookups.size() != tables.access.size())
    fail("--bag-sizes: {} numbers for {} tables", lookups.size(), tables.access.size());
  placement::Workload workload;
  for (size_t t = 0; t < tables.access.size(); ++t) {
    placement::Table table;
    table.name = tables.names[t];
    table.access = tables.access[t];
    table.lookups = lookups[t];
    table.row_bytes = 4 * dim;
    table.state_bytes = request.optimizer == "sgd" ? 0 : request.optimizer == "adagrad" ? 4 * dim : 4;
    table.wire_bytes = (request.bf16_wire ? 2 : 4) * dim;
    workload.tables.push_back(std::move(table));
  }
  const ModelShape model(request.model, kCriteoDense, std::ssize(workload.tables));
  workload.global_batch = request.batch;
  workload.dense_bytes = static_cast<double>(4 * model.parameters());
  workload.flops_per_sample = static_cast<double>(model.flops_per_sample());
  workload.flops_behind_per_sample = static_cast<double>(model.flops_behind_per_sample());
  workload.buffer_bytes_per_sample = static_cast<double>(model.activation_bytes_per_sample());
  workload.sized_buffers = true;
  workload.overlapped = request.overlapped;
  placement::validate(workload);
  return workload;
}

/// Buffers of each rank type, as the checker takes them.
std::vector<double> reserved_bytes(const placement::Tree& tree, const placement::Cost& cost) {
  std::vector<double> reserved;
  for (int rank : tree.at_level(tree.depth())) {
    reserved.push_back(0);
    for (const auto& store : cost.stores)
      if (store.site == placement::Site{rank, 0}) reserved.back() = store.reserved_bytes;
  }
  return reserved;
}

void pick_strategy(const std::string& name, PlanAnswer& result) {
  result.plan = result.solution.plan;
  result.cost = result.solution.cost;
  for (const auto& other : result.solution.strategies) {
    if (other.name != name) continue;
    if (!other.cost.infeasible.empty()) fail("strategy {}: {}", name, other.cost.infeasible);
    SPARROW_CHECK(other.plan.has_value(), "strategy {} fits and has no plan", name);
    result.plan = *other.plan;
    result.cost = other.cost;
  }
}

}  // namespace

PlanTables load_plan_tables(const PlanRequest& request) {
  return request.counts.empty() ? make_tables(request) : load_counts(request);
}

PlanProblem make_problem(const PlanRequest& request, const PlanTables& tables, const placement::Topology& topology) {
  PlanProblem problem{topology, make_workload(request, tables), {}};
  problem.options.combine = request.combine;
  const placement::Tree tree(topology);
  for (int rank : tree.at_level(tree.depth())) {
    auto& domain = problem.topology.domains[rank];
    if (request.device_memory && domain.batch_weight > 0) domain.stores[0].capacity_bytes = *request.device_memory;
  }
  if (request.planned_shares) {
    const auto weights = placement::plan_batch_weights(problem.topology, problem.workload, problem.options);
    for (size_t i = 0; i < weights.size(); ++i)
      problem.topology.domains[tree.at_level(tree.depth())[i]].batch_weight = weights[i];
  }
  return problem;
}

PlanAnswer answer(const PlanRequest& request, const PlanTables& tables, const placement::Topology& topology) {
  PlanAnswer result{make_problem(request, tables, topology), {}, {}, {}};
  PlanProblem& problem = result.problem;
  if (request.optimize_batch) {
    const int64_t least = std::max<int64_t>(1, request.batch / 16), most = request.batch * 16;
    auto choice = placement::optimize_batch(problem.topology, problem.workload, least, most, problem.options);
    problem.workload.global_batch = choice.global_batch;
    result.solution = std::move(choice.solution);
  } else {
    result.solution = placement::solve(problem.topology, problem.workload, problem.options);
  }
  pick_strategy(request.strategy, result);
  const placement::Tree tree(problem.topology);
  placement::check(result.plan, problem.topology, problem.workload, reserved_bytes(tree, result.cost));
  return result;
}

}  // namespace sparrow
