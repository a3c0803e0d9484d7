#include "calibrate/trial_steps.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>

#include "calibrate/synthetic_batch.hpp"
#include "calibrate/timed_runs.hpp"
#include "layout/system_shape.hpp"
#include "planning/decide.hpp"
#include "planning/workload.hpp"
#include "train/memory_plan.hpp"
#include "train/trainer.hpp"

namespace sparrow {

namespace {

constexpr int kBatches = 4;

class TrialSteps {
 public:
  TrialSteps(const RankContext& context, const std::vector<int>& node_of, const CalibrationOptions& options,
             const MachineRates& rates);

  /// Of a step: whole, and what the theory says of it without its computation.
  double step_seconds();
  double expected_without_compute() const { return held_.cost.sequential_seconds; }
  double list_ids_per_s();

 private:
  int64_t table_rows() const;
  Decision held() const;
  placement::Topology without_compute(const std::vector<int>& node_of, MachineRates rates) const;
  ResolvedPlan pooled_plan() const;
  int steps() const;

  const RankContext& context_;
  const CalibrationOptions& options_;
  const MachineRates& rates_;
  const bool several_nodes_;
  const int64_t ranks_of_node_;
  placement::TableDistribution law_;
  Tables tables_;
  SystemShape shape_;
  Decision held_;
  std::vector<std::unique_ptr<SyntheticBatch>> batches_;
};

TrialSteps::TrialSteps(const RankContext& context, const std::vector<int>& node_of, const CalibrationOptions& options,
                       const MachineRates& rates)
    : context_(context),
      options_(options),
      rates_(rates),
      several_nodes_(std::any_of(node_of.begin(), node_of.end(), [&](int node) { return node != node_of[0]; })),
      ranks_of_node_(std::count(node_of.begin(), node_of.end(), node_of[context.comm.rank()])),
      law_(synthetic_law(table_rows())),
      tables_(std::vector<int64_t>(options.model.tables, law_.total_rows()), options.model.dim),
      shape_(shape_of(without_compute(node_of, rates), context.comm.size())),
      held_(held()) {
  const auto rank = static_cast<uint64_t>(context.comm.rank());
  for (uint64_t i = 0; i < kBatches; ++i)
    batches_.push_back(std::make_unique<SyntheticBatch>(
        law_, options.model, options.local_batch, options.local_batch * context.comm.size(), rank * kBatches + i + 1));
}

/// Far more than a batch looks up, and than caches hold, as long as they are soon made.
int64_t TrialSteps::table_rows() const {
  constexpr int64_t kBytes = int64_t{64} << 20, kRowsPerSample = 16;
  const int64_t row_bytes = 4 * options_.model.dim * options_.model.tables;
  const int64_t affordable = std::min(kBytes, context_.backend.free_memory() / 16) / row_bytes;
  const int64_t rows = std::min(affordable, kRowsPerSample * options_.local_batch * context_.comm.size());
  return -max(context_.comm, -std::max<int64_t>(rows, 64));  // the least of all ranks
}

/// Every row held by one rank, which exchanges it directly with all others.
Decision TrialSteps::held() const {
  Iteration iteration;
  iteration.model = options_.model;
  iteration.optimizer = options_.optimizer.sparse.kind;
  iteration.wire = options_.wire;
  iteration.global_batch = options_.local_batch * context_.comm.size();
  iteration.access.assign(options_.model.tables, law_);
  PlacementOptions options;
  options.strategy = placement::Strategy::held;
  options.combine = false;
  return decide(shape_.topology, make_workload(iteration), options);
}

placement::Topology TrialSteps::without_compute(const std::vector<int>& node_of, MachineRates rates) const {
  rates.flops_per_s = rates.list_ids_per_s = placement::kInfinity;
  rates.memory_bytes = int64_t{1} << 50;  // the budget is for the rows of the run
  rates.slower_store.reset();
  return launch_topology(node_of, rates);
}

int TrialSteps::steps() const {
  constexpr int64_t kSamples = 12288;
  return static_cast<int>(std::clamp<int64_t>(kSamples / options_.local_batch, 4, 16));
}

double TrialSteps::step_seconds() {
  TrainerOptions options;
  options.model = options_.model;
  options.optimizer = options_.optimizer;
  options.optimizer.dense.lr = options.optimizer.sparse.lr = 0;
  options.precision = options_.precision;
  options.wire = options_.wire;
  options.limits.samples.assign(context_.comm.size(), options_.local_batch);
  options.limits.lookups.assign(options_.model.tables, 1);
  Directory directory(tables_, shape_.hierarchy, resolve(held_.plan, shape_), context_.comm.rank());
  MemoryPlan memory = plan_memory(context_.backend, directory, options);
  Trainer trainer(context_, std::move(directory), std::move(memory), options,
                  [](int, int64_t position) { return position; });
  constexpr int kWarmUp = 2;  // memory is touched, connections are made
  std::vector<double> seconds;
  for (int i = 0; i < kWarmUp + steps(); ++i) {
    if (i == kWarmUp) barrier(context_.comm);
    const Timer timer;
    trainer.step(batches_[static_cast<size_t>(i) % kBatches]->batch());
    if (i >= kWarmUp) seconds.push_back(timer.seconds());
  }
  trainer.drain();
  for (double& of : seconds) of = slowest(context_.comm, of);
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2), seconds.end());
  return seconds[seconds.size() / 2];
}

/// Every lookup pooled at the holder of its row.
ResolvedPlan TrialSteps::pooled_plan() const {
  ResolvedPlan plan = resolve(held_.plan, shape_);
  for (ResolvedTable& table : plan.tables) table.rules[0].transport = Transport::pooled;
  return plan;
}

/// Builds the route of a batch again and again, under one plan.
class RouteBuilding {
 public:
  RouteBuilding(const RankContext& context, const Tables& tables, const Hierarchy& hierarchy, const ResolvedPlan& plan)
      : context_(context),
        stream_(context.backend.make_stream()),
        directory_(tables, hierarchy, plan, context.comm.rank()),
        comms_(context.comm, context.device_comm, hierarchy),
        exchange_(context, directory_, comms_, {nullptr, nullptr, directory_.slots(), tables.dim(), 0}, nullptr,
                  DType::f32),
        route_(context.backend, comms_.sizes(), context.comm.size()) {}

  void build(const Batch& batch) {
    exchange_.build(*stream_, batch, route_, true);
    context_.backend.synchronize(*stream_);
  }
  const BatchRoute& route() const { return route_; }
  const StageComms& comms() const { return comms_; }

 private:
  const RankContext& context_;
  std::unique_ptr<Stream> stream_;
  Directory directory_;
  StageComms comms_;
  EmbeddingExchange exchange_;
  BatchRoute route_;
};

double TrialSteps::list_ids_per_s() {
  Comm& comm = context_.comm;
  if (comm.size() == 1) return placement::kInfinity;  // there is nobody to list ids for
  const Hierarchy& hierarchy = shape_.hierarchy;
  const Batch& batch = batches_[0]->batch();
  RouteBuilding held(context_, tables_, hierarchy, resolve(held_.plan, shape_));
  RouteBuilding copied(context_, tables_, hierarchy, ResolvedPlan::uniform(tables_, hierarchy, hierarchy.depth()));
  RouteBuilding pooled(context_, tables_, hierarchy, pooled_plan());
  std::vector<std::function<void()>> builds;
  for (RouteBuilding* of : {&held, &copied, &pooled}) builds.emplace_back([of, &batch] { of->build(batch); });
  const std::vector<double> seconds = sustained_seconds(comm, builds, steps() / 2);

  // Seconds of a build without what its bytes take on the links.
  const auto work = [&](size_t which, const RouteBuilding& of) {
    const int stages = of.comms().count();
    std::vector<Traffic> before;
    for (int s = 0; s < stages; ++s) before.push_back(of.comms().traffic(s));
    builds[which]();
    double on_links = 0;
    for (int s = 0; s < stages; ++s) {
      const auto bytes = static_cast<double>(sent_by_iterations(of.comms().traffic(s) - before[s]));
      const bool network = several_nodes_ && s == 0;
      on_links += slowest(comm, network ? bytes * static_cast<double>(ranks_of_node_) / rates_.network_bytes_per_s
                                        : bytes / rates_.rank_bytes_per_s);
    }
    return seconds[which] - on_links;
  };
  const double held_work = work(0, held), copied_work = work(1, copied), pooled_work = work(2, pooled);

  // As the theory counts them: of the route of held rows, lookups and ids that came in; see WorkRates.
  const auto mean = [&](int64_t n) { return static_cast<double>(sum(comm, n)) / comm.size(); };
  const double lookups = mean(held.route().lookups), pooled_here = mean(pooled.route().pooled.lookups);
  int64_t received = 0;
  for (const StageCounts& stage : held.route().rows.stages) received += stage.requested.total;
  const double per_id = std::max(0.0, held_work / (lookups + mean(received)));
  const double copies =
      2 * mean(copied.route().rows.lists.back().count + copied.route().copies.levels.back().delivered_count);
  const double list_work = copied_work - lookups * per_id + pooled_work - (lookups + pooled_here) * per_id;
  const double ids = copies + lookups + pooled_here;
  return list_work > 0 ? ids / list_work : placement::kInfinity;
}

}  // namespace

void run_trial_steps(const RankContext& context, const std::vector<int>& node_of, const CalibrationOptions& options,
                     MachineRates& rates) {
  TrialSteps trial(context, node_of, options, rates);
  rates.list_ids_per_s = trial.list_ids_per_s();
  const double step = trial.step_seconds(), expected = trial.expected_without_compute();
  const double flops = static_cast<double>(options.model.flops_per_sample() * options.local_batch);
  // Where ranks that share processors compute while others wait for the network, less than alone; a quarter is a sign
  // that something else went on while links and work were measured.
  constexpr double kLeastOfAlone = 0.25;
  const double alone = flops / rates.flops_per_s;
  rates.flops_per_s = flops / std::max(step - expected, kLeastOfAlone * alone);
  if (context.comm.rank() == 0)
    spdlog::debug(
        "trial steps: {:.3f} ms, of which exchanges and work on rows {:.3f} ms expected; computation alone "
        "{:.3f} ms",
        step * 1e3, expected * 1e3, alone * 1e3);
}

}  // namespace sparrow
