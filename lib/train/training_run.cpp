#include "train/training_run.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "config/plan_file.hpp"
#include "config/topology_file.hpp"
#include "data/loader.hpp"
#include "placement/model.hpp"
#include "train/checkpoint.hpp"
#include "train/memory_plan.hpp"
#include "train/planning.hpp"
#include "train/replanner.hpp"
#include "train/replanning_state.hpp"
#include "train/trainer.hpp"

namespace sparrow {

namespace fs = std::filesystem;

namespace {

/// Drops records of metrics.jsonl beyond the checkpoint that a run continues from.
void cut_metrics(const std::string& path, int64_t samples) {
  std::ifstream file(path);
  if (!file) return;
  std::string kept;
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json record = nlohmann::json::parse(line, nullptr, false);
    if (record.is_object() && record.value("samples", samples + 1) <= samples) kept += line + '\n';
  }
  std::ofstream(path, std::ios::trunc) << kept;
}

/// Keeps the batches of a loader alive while the exchange reads ahead, also when an error passes by.
class BatchesInUse {
 public:
  explicit BatchesInUse(Trainer& trainer) : trainer_(trainer) {}
  ~BatchesInUse() { trainer_.release_batches(); }
  BatchesInUse(const BatchesInUse&) = delete;
  BatchesInUse& operator=(const BatchesInUse&) = delete;

 private:
  Trainer& trainer_;
};

class TrainingRun {
 public:
  TrainingRun(const RunOptions& options, const RankContext& context, const NodePlace& place);
  RunResult run();

 private:
  RunOptions with_saved_decisions(RunOptions options) const;
  void save_decisions() const;
  void restore();
  int64_t samples_to_train() const;
  void pass(int64_t number);
  void after_step(double loss_sum, int64_t batch_samples);
  void report(int64_t samples);
  void evaluate();
  void save();
  std::string saved_replanning() const;
  void replan();
  double counted_bytes();
  LoaderOptions loader_options(int64_t epoch) const;
  TrainerOptions trainer_options() const;
  PlannedRun plan_within_memory();
  MemoryPlan memory_for(const CopyPlan& copies) const;

  const RunOptions& options_;
  RankContext context_;
  Comm& comm_;
  std::string checkpoint_;  ///< that the run continues from; empty: from the start
  TrainingData data_;
  Tables tables_;
  SystemShape system_;
  std::vector<double> shares_;  ///< of the ranks in a batch; empty: equal
  PlannedRun planned_;
  Store::IdOfPosition id_of_, position_of_;
  Trainer trainer_;
  std::unique_ptr<Replanner> replanner_;  ///< if placement.replan_every > 0
  placement::Plan settled_plan_;          ///< that rows follow, or come from while they move
  Ledger settled_ledger_;                 ///< when the last question was asked, or its answer carried out
  int64_t total_samples_ = 0;
  RunPosition position_, saved_;
  std::unique_ptr<MetricsFile> metrics_;
  std::unique_ptr<Progress> progress_;
  Timer clock_;
  double paused_ = 0;  ///< seconds of clock_ spent on evaluation and checkpoints
  double interval_loss_ = 0;
  int64_t interval_samples_ = 0, interval_steps_ = 0, evaluated_at_ = -1, checkpointed_at_ = 0;
  RunResult result_;
  bool stop_ = false, moving_ = false;
};

std::string scratch_folder(const RunOptions& options) {
  return options.system.scratch.empty() ? options.output.dir + "/scratch" : options.system.scratch;
}

/// Makes the output folder, emptied of an earlier run unless this one continues it. Returns the checkpoint to continue
/// from, or "".
std::string prepare_output(Comm& comm, const OutputOptions& output) {
  std::string checkpoint;
  if (comm.rank() == 0) {
    fs::create_directories(output.dir);
    if (output.resume == "auto") checkpoint = newest_checkpoint(output.dir).value_or("");
    if (output.resume != "auto" && output.resume != "never") checkpoint = output.resume;
    if (checkpoint.empty())
      for (const char* name : {"start", "checkpoints", "metrics.jsonl"}) fs::remove_all(output.dir + "/" + name);
    fs::remove(output.dir + "/summary.json");
  }
  return broadcast_string(comm, checkpoint, 0);
}

TrainingRun::TrainingRun(const RunOptions& options, const RankContext& context, const NodePlace& place)
    : options_(options),
      context_(context),
      comm_(context.comm),
      checkpoint_(prepare_output(comm_, options.output)),
      data_(open_training_data(comm_, place, options.data, scratch_folder(options), options.output.dir + "/start")),
      tables_(data_.shapes.rows, options.model.embedding_dim),
      system_(find_system(context, place.node, with_saved_decisions(options))),
      shares_(batch_shares(options, system_)),
      planned_(plan_within_memory()),
      id_of_([this](int table, int64_t position) { return data_.ids.position(table, position); }),
      position_of_([this](int table, int64_t id) { return data_.positions.position(table, id); }),
      trainer_(context, tables_, system_.hierarchy, planned_.copies, trainer_options(), id_of_) {
  save_decisions();
  trainer_.ledger().tracing = options_.output.trace;
  total_samples_ = samples_to_train();
  restore();
  if (comm_.rank() == 0) {
    const std::string path = options_.output.dir + "/metrics.jsonl";
    if (!checkpoint_.empty()) cut_metrics(path, position_.samples);
    metrics_ = std::make_unique<MetricsFile>(path, !checkpoint_.empty());
    progress_ = std::make_unique<Progress>(total_samples_);
  }
}

/// A continued run keeps the rates and the plan it began with, so that its bits do not depend on a noisy clock; unless
/// the number of ranks has changed.
RunOptions TrainingRun::with_saved_decisions(RunOptions options) const {
  const std::string topology = options.output.dir + "/start/topology.yaml",
                    plan = options.output.dir + "/start/plan.json";
  if (checkpoint_.empty() || !fs::exists(topology) || !fs::exists(plan)) return options;
  if (placement::Tree(load_topology(topology)).ranks() != comm_.size()) return options;
  options.system.topology = topology;
  const std::string replanned = saved_replanning();
  options.placement.plan = replanned.empty() ? plan : saved_plan_path(replanned);
  return options;
}

/// What a checkpoint says of re-planning, if the run continues from one with as many ranks: its folder, or "".
std::string TrainingRun::saved_replanning() const {
  const std::string topology = options_.output.dir + "/start/topology.yaml", folder = checkpoint_ + "/replanning";
  if (checkpoint_.empty() || options_.placement.replan_every == 0 || !fs::exists(folder)) return "";
  if (!fs::exists(topology) || placement::Tree(load_topology(topology)).ranks() != comm_.size()) return "";
  return folder;
}

void TrainingRun::save_decisions() const {
  if (comm_.rank() == 0) {
    const std::string start = options_.output.dir + "/start";
    save_plan(start + "/plan.json", planned_.plan, system_.topology);
    std::ofstream file(start + "/topology.yaml", std::ios::trunc);
    file << write_topology(system_.topology, "The system of this run, as it was measured or given.") << std::flush;
    if (!file) fail_errno(start + "/topology.yaml");
    spdlog::info("{}", describe_plan(planned_, system_));
  }
  barrier(comm_);
}

TrainerOptions TrainingRun::trainer_options() const {
  TrainerOptions options;
  options.model = options_.model;
  options.optimizer = options_.optimizer;
  options.precision = options_.system.precision;
  options.wire = options_.system.wire;
  options.seed = options_.train.seed;
  options.fetched.folder = fetched_folder(options_);
  options.overlapped = options_.system.overlapped;
  if (options_.placement.replan_every > 0)
    options.room = room_for_rows(system_, make_workload({options_, data_.shapes, data_.counts}), comm_.rank());
  for (int rank = 0; rank < comm_.size(); ++rank)  // a short batch may round the other way, hence one more
    options.limits.samples.push_back(part_of_batch(options_.train.global_batch, rank, comm_.size(), shares_).size() +
                                     1);
  for (int t = 0; t < data_.shapes.tables(); ++t) options.limits.lookups.push_back(data_.shapes.bag_size(t));
  options.limits.with_offsets = !data_.shapes.bag_sizes.empty();
  if (options_.placement.replan_every > 0) {  // a batch's worth at a time
    const std::vector<int64_t>& samples = options.limits.samples;
    options.most_moved = std::max<int64_t>(
        comm_.size(), *std::max_element(samples.begin(), samples.end()) * data_.shapes.lookups_per_sample());
  }
  return options;
}

MemoryPlan TrainingRun::memory_for(const CopyPlan& copies) const {
  const TrainerOptions options = trainer_options();
  const Directory directory(tables_, system_.hierarchy, copies, comm_.rank(), options.room);
  return plan_memory(context_.backend, directory, options);
}

/// The plan of the run. Planning knows what rows need and estimates the rest; where device memory is divided up before
/// training, a plan that leaves the rest too little is made again with so much less for rows. Collective.
PlannedRun TrainingRun::plan_within_memory() {
  constexpr int kAttempts = 10;
  const bool planned_memory = !context_.backend.device_is_host();
  const int64_t budget = context_.backend.free_memory();
  MemoryLack lack;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    PlannedRun planned;
    try {
      planned = plan_run(comm_, system_, {with_saved_decisions(options_), data_.shapes, data_.counts});
    } catch (const Error& error) {
      if (!planned_memory) throw;
      const CopyPlan held = CopyPlan::uniform(tables_, system_.hierarchy, 0);
      fail("{}\n{}", error.what(),
           lack.bytes > 0 ? lack.why
                          : fmt::format("if every row were held by one rank, rank {} would need\n{}", comm_.rank(),
                                        describe(memory_for(held).needs, budget)));
    }
    if (!planned_memory) return planned;
    const MemoryByPart needs = memory_for(planned.copies).needs;
    lack = lack_of_memory(comm_, needs, budget);
    if (lack.bytes == 0) return planned;
    const std::vector<int64_t> rows = all_gather(comm_, needs.of(MemoryPart::rows) + needs.of(MemoryPart::row_state));
    const int64_t room = *std::max_element(rows.begin(), rows.end()) - lack.bytes;
    if (room < 0) fail("{}", lack.why);
    const placement::Workload workload = make_workload({options_, data_.shapes, data_.counts});
    const placement::CostModel model(system_.topology, workload);
    const std::set<int> types(system_.rank_type.begin(), system_.rank_type.end());
    for (const int type : types) {
      int64_t& capacity = system_.topology.domains[static_cast<size_t>(type)].stores.at(0).capacity_bytes;
      capacity = std::min(capacity, room + static_cast<int64_t>(model.reserved({type, 0})));
    }
  }
  fail("{}", lack.why);
}

/// train.samples, rounded up to whole batches: a run that stops there has seen the batches of any longer run, and can
/// be continued as one.
int64_t TrainingRun::samples_to_train() const {
  const int64_t per_pass = data_.train_range.size(), batch = options_.train.global_batch;
  if (options_.train.samples == 0) return per_pass * options_.train.epochs;
  const int64_t whole = options_.train.samples / per_pass * per_pass;
  return whole + std::min(per_pass, (options_.train.samples - whole + batch - 1) / batch * batch);
}

void TrainingRun::restore() {
  settled_plan_ = planned_.plan;
  if (options_.placement.replan_every > 0)
    replanner_ = std::make_unique<Replanner>(options_, data_.shapes, tables_, system_, planned_.plan);
  if (const std::string folder = saved_replanning(); !folder.empty())
    load_replanning(folder, system_, comm_.rank(), *replanner_, trainer_);  // before the rows: it says where they go
  moving_ = trainer_.migration() != nullptr;
  if (!checkpoint_.empty()) {
    position_ = load_checkpoint(trainer_, id_of_, checkpoint_);
    spdlog::info("continuing from {} ({} samples)", checkpoint_, position_.samples);
    if (position_.samples >= total_samples_)
      spdlog::info("nothing is left to train; --set output.resume=never starts again, output.dir=... starts elsewhere");
  } else if (!options_.train.init.empty()) {
    load_weights(trainer_, id_of_, options_.train.init);
    spdlog::info("starting from the weights of {}", options_.train.init);
  }
  saved_ = position_;
  trainer_.set_steps(position_.steps);
  barrier(comm_);
}

LoaderOptions TrainingRun::loader_options(int64_t epoch) const {
  LoaderOptions options;
  options.shapes = data_.shapes;
  options.global_batch = options_.train.global_batch;
  options.rank = comm_.rank();
  options.ranks = comm_.size();
  options.shares = shares_;
  options.shuffle_window = options_.data.shuffle_window;
  options.split_data = options_.data.split == "ranks";
  options.seed = options_.train.seed;
  options.epoch = epoch;
  return options;
}

RunResult TrainingRun::run() {
  const int64_t per_pass = data_.train_range.size();
  result_.samples = position_.samples;
  clock_.restart();
  while (position_.samples < total_samples_ && !stop_) pass(position_.samples / per_pass);
  trainer_.drain();
  if (interval_steps_ > 0) report(position_.samples);
  result_.seconds = clock_.seconds() - paused_;
  if (progress_) progress_->clear();
  if (evaluated_at_ != position_.samples) evaluate();
  if (options_.output.checkpoint_every >= 0 && saved_.samples != position_.samples) save();
  result_.samples = position_.samples - result_.samples;
  result_.backend = context_.backend.name();
  result_.output_dir = options_.output.dir;
  result_.ranks = comm_.size();
  result_.steps = position_.steps;
  result_.skipped_lines = data_.train.bad_lines();
  result_.overlapped = options_.system.overlapped;
  result_.ledger = trainer_.ledger();
  result_.migrated = trainer_.migrated();
  if (replanner_) result_.settled_bytes_per_iteration = counted_bytes();
  result_.predicted = predict(planned_, system_);
  result_.row_bytes = trainer_.store().bytes();
  result_.planned_memory_bytes = trainer_.memory().needs.total();
  result_.used_memory_bytes = context_.backend.most_memory();
  if (trainer_.store().fetched()) result_.fetched_buffer_bytes = trainer_.store().fetched()->buffer_bytes();
  write_summary(comm_, result_, options_.output.dir + "/summary.json");
  if (options_.output.trace) write_trace(comm_, trainer_.ledger(), options_.output.dir + "/trace.json");
  return result_;
}

void TrainingRun::pass(int64_t number) {
  LoaderOptions options = loader_options(number);
  options.first_batch = (position_.samples - number * data_.train_range.size()) / options_.train.global_batch;
  Loader loader(data_.train, data_.train_range, data_.positions, options);
  const BatchesInUse in_use(trainer_);
  const auto next_batch = [&] {
    Ledger::Booking booking(trainer_.ledger(), Part::data);
    return loader.next();
  };
  for (const Batch* batch = next_batch(); batch != nullptr;) {
    const bool last = position_.samples + batch->global_samples >= total_samples_;
    const Batch* next = last ? nullptr : next_batch();
    const double loss_sum = trainer_.step(*batch, next);
    if (replanner_) replanner_->count(*batch);
    position_.steps = trainer_.steps();
    position_.samples += batch->global_samples;
    after_step(loss_sum, batch->global_samples);
    batch = stop_ ? nullptr : next;
  }
}

void TrainingRun::after_step(double loss_sum, int64_t batch_samples) {
  interval_loss_ += loss_sum;
  interval_samples_ += batch_samples;
  ++interval_steps_;
  const int64_t samples = position_.samples;
  const auto passed = [&](int64_t every, int64_t since) { return every > 0 && samples / every > since / every; };
  if (interval_steps_ >= options_.output.report_every) report(samples);
  if (replanner_ && moving_ && !trainer_.migration()) {
    moving_ = false;
    trainer_.drain();
    settled_plan_ = replanner_->plan();
    settled_ledger_ = trainer_.ledger();
  }
  if (passed(options_.placement.replan_every, samples - batch_samples) && samples < total_samples_) replan();
  if (passed(options_.train.eval_every, samples - batch_samples) && samples < total_samples_) evaluate();
  if (passed(options_.output.checkpoint_every, samples - batch_samples) && samples < total_samples_) save();
}

void TrainingRun::report(int64_t samples) {
  const double loss = sum(comm_, interval_loss_) / static_cast<double>(interval_samples_);
  if (!std::isfinite(loss))
    fail("the loss is {} at step {}: the learning rate is too high, or the data are not finite", loss, position_.steps);
  result_.train_loss = loss;
  const double seconds = clock_.seconds() - paused_;
  if (comm_.rank() == 0) {
    metrics_->step(position_.steps, samples, loss, seconds,
                   learning_rate_factor(options_.optimizer, position_.steps - 1));
    progress_->show(samples, loss, static_cast<double>(samples - result_.samples) / seconds, true);
  }
  interval_loss_ = 0;
  interval_samples_ = interval_steps_ = 0;
}

void TrainingRun::replan() {
  if (trainer_.migration()) return;  // the last answer is still being carried out
  trainer_.drain();                  // so that the ledger has all of the last step
  const int64_t batch = options_.train.global_batch;
  const int64_t left = std::min(options_.placement.replan_every, total_samples_ - position_.samples);
  Replanning answer = replanner_->consider(comm_, (left + batch - 1) / batch);
  if (answer.changes) answer.why_not = trainer_.lack_of_room(answer.next->copies);
  answer.changes = answer.changes && answer.why_not.empty();
  answer.bytes_counted = counted_bytes();
  settled_ledger_ = trainer_.ledger();
  if (comm_.rank() == 0) {
    const std::string record = to_json(answer, position_.steps, position_.samples);
    metrics_->record(record);
    result_.replannings.push_back(record);
    progress_->clear();
    spdlog::info("{}", describe(answer));
  }
  if (!answer.changes) return;
  trainer_.migrate_to(answer.next->copies, answer.copies_per_move);
  replanner_->set_plan(answer.next->plan);
  moving_ = true;
  planned_ = *answer.next;
}

/// Sent per rank and iteration (mean over ranks) under the plan in force, since settled_ledger_. Collective.
double TrainingRun::counted_bytes() {
  const Ledger& ledger = trainer_.ledger();
  const int64_t iterations = ledger.iterations - settled_ledger_.iterations;
  int64_t bytes = 0;
  for (int p = 0; p < kPhases; ++p)
    if (static_cast<Phase>(p) != Phase::control)
      bytes += ledger.traffic.sent_bytes[static_cast<size_t>(p)] -
               settled_ledger_.traffic.sent_bytes[static_cast<size_t>(p)];
  return over_ranks(comm_, static_cast<double>(bytes)).mean / static_cast<double>(std::max<int64_t>(1, iterations));
}

void TrainingRun::evaluate() {
  evaluated_at_ = position_.samples;
  if (data_.eval_range.size() == 0) return;
  Timer timer;
  LoaderOptions options = loader_options(0);
  options.shuffle_window = 0;
  options.split_data = false;
  Loader loader(data_.eval_data(), data_.eval_range, data_.positions, options);
  std::vector<float> logits, labels;
  double loss_sum = 0;
  while (const Batch* batch = loader.next()) {
    const std::span<const float> part = trainer_.predict(*batch, loss_sum);
    logits.insert(logits.end(), part.begin(), part.end());
    labels.insert(labels.end(), batch->labels.begin(), batch->labels.end());
  }
  const Metrics metrics = evaluate_predictions(comm_, logits, labels, loss_sum);
  result_.eval = metrics;
  if (comm_.rank() == 0) {
    progress_->clear();
    metrics_->evaluation(position_.steps, position_.samples, metrics, clock_.seconds() - paused_);
    spdlog::info("{} samples: held-out AUC {:.5f}, log loss {:.5f}, accuracy {:.4f}", position_.samples, metrics.auc,
                 metrics.logloss, metrics.accuracy);
  }
  if (options_.train.target_auc > 0 && metrics.auc >= options_.train.target_auc) stop_ = true;
  paused_ += timer.seconds();
}

void TrainingRun::save() {
  Timer timer;
  try {
    const auto save_more = [&](const std::string& folder) {
      if (replanner_)
        save_replanning(folder + "/replanning", system_, comm_.rank(), *replanner_, settled_plan_, trainer_);
    };
    save_checkpoint(comm_, trainer_, position_of_, position_, options_.output.dir, options_.output.keep, save_more);
    saved_ = position_;
    if (comm_.rank() == 0) spdlog::info("saved the model at {} samples", position_.samples);
  } catch (const Error& error) {
    if (options_.output.stop_on_checkpoint_error) throw;
    spdlog::warn("{}", error.what());
  }
  paused_ += timer.seconds();
}

}  // namespace

RunResult run_training(const RunOptions& options, const RankContext& context, const NodePlace& place) {
  return TrainingRun(options, context, place).run();
}

}  // namespace sparrow
