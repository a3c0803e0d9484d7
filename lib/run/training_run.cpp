#include "run/training_run.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/error.hpp"
#include "checkpoint/checkpoint.hpp"
#include "checkpoint/model_loading.hpp"
#include "comm/collectives.hpp"
#include "data/loader.hpp"
#include "run/metrics_file.hpp"
#include "run/plan_changes.hpp"
#include "run/progress.hpp"
#include "run/run_folder.hpp"
#include "run/run_setup.hpp"
#include "run/run_system.hpp"
#include "train/trainer.hpp"

namespace sparrow {

namespace {

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
  TrainingRun(const RunOptions& options, const RankContext& context, const NodePlace& place,
              const std::function<bool()>& stop);
  RunResult run();

 private:
  PlacedRun count_and_plan();
  void save_decisions() const;
  void restore();
  void pass(int64_t number);
  void after_step(double loss_sum, int64_t batch_samples);
  void report(int64_t samples);
  void evaluate();
  void save();
  void replan();
  void finish();
  void tell_stopped() const;

  const RunOptions& options_;
  const std::function<bool()>& stop_asked_;
  RankContext context_;
  Comm& comm_;
  RunFolder folder_;
  TrainingData data_;
  Tables tables_;
  RunParts parts_;
  SystemShape system_;
  PlacedRun placed_;  ///< the plan in force; what else was in it is the trainer's now
  Store::IdOfPosition id_of_, position_of_;
  Trainer trainer_;
  std::unique_ptr<PlanChanges> plan_changes_;  ///< if placement.replan_every > 0
  int64_t total_samples_;
  RunPosition position_, saved_;
  std::unique_ptr<MetricsFile> metrics_;
  std::unique_ptr<Progress> progress_;
  Timer clock_;
  double paused_ = 0;  ///< seconds of clock_ spent on evaluation and checkpoints
  double interval_loss_ = 0;
  int64_t interval_samples_ = 0, interval_steps_ = 0, evaluated_at_ = -1;
  RunResult result_;
  bool stop_ = false;
};

std::string scratch_folder(const RunOptions& options) {
  return options.system.scratch.empty() ? options.output.dir + "/scratch" : options.system.scratch;
}

TrainingRun::TrainingRun(const RunOptions& options, const RankContext& context, const NodePlace& place,
                         const std::function<bool()>& stop)
    : options_(options),
      stop_asked_(stop),
      context_(context),
      comm_(context.comm),
      folder_(comm_, options),
      data_(open_training_data(comm_, place, options.data, scratch_folder(options))),
      tables_(data_.shapes.rows, options.model.embedding_dim),
      parts_{context_, options_, data_, tables_},
      system_(find_system(context, place.node, folder_.with_saved_decisions())),
      placed_(count_and_plan()),
      id_of_([this](int table, int64_t position) { return data_.ids.position(table, position); }),
      position_of_([this](int table, int64_t id) { return data_.positions.position(table, id); }),
      trainer_(context, std::move(placed_.directory), std::move(placed_.memory), trainer_options(parts_, system_),
               id_of_),
      total_samples_(samples_to_train(options, data_)) {
  save_decisions();
  trainer_.ledger().tracing = options_.output.trace;
  restore();
  if (comm_.rank() == 0) {
    if (folder_.continues()) folder_.cut_metrics(position_.samples);
    if (position_.samples < total_samples_) folder_.remove_summary();
    metrics_ = std::make_unique<MetricsFile>(folder_.metrics(), folder_.continues());
    progress_ = std::make_unique<Progress>(total_samples_);
  }
}

/// Counts what the ranks look up. Where they look up different rows the system has more kinds of ranks.
PlacedRun TrainingRun::count_and_plan() {
  count_accesses(comm_, options_.data, data_parts(options_, system_, data_.train_range), folder_.start(), data_);
  system_ = with_access_groups(system_, data_.counts.group_of_rank);
  return plan_within_memory(parts_, folder_.with_saved_decisions(), system_);
}

void TrainingRun::save_decisions() const {
  if (comm_.rank() == 0) {
    folder_.save_decisions(placed_.planned.plan, system_.topology);
    spdlog::info("{}", describe_plan(placed_.planned, system_));
  }
  barrier(comm_);
}

void TrainingRun::restore() {
  if (options_.placement.replan_every > 0)
    plan_changes_ = std::make_unique<PlanChanges>(options_, data_, tables_, system_, placed_.planned.plan, trainer_);
  if (const std::string saved = folder_.saved_replanning(); !saved.empty()) plan_changes_->load(saved);
  if (folder_.continues()) {
    position_ = load_checkpoint(trainer_, id_of_, folder_.checkpoint());
    spdlog::info("continuing from {} ({} samples)", folder_.checkpoint(), position_.samples);
    if (position_.samples >= total_samples_)
      spdlog::info(
          "training is already complete; --set output.resume=never starts again, output.dir=... starts elsewhere");
  } else if (!options_.train.init.empty()) {
    load_weights(trainer_, id_of_, options_.train.init);
    spdlog::info("starting from the weights of {}", options_.train.init);
  }
  saved_ = position_;
  trainer_.set_steps(position_.steps);
  barrier(comm_);
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
  if (evaluated_at_ != position_.samples && !result_.stopped) evaluate();
  if (options_.output.checkpoint_every >= 0 && saved_.samples != position_.samples) save();
  finish();
  return result_;
}

/// The facts of the run, its summary and its trace.
void TrainingRun::finish() {
  result_.samples = position_.samples - result_.samples;
  result_.backend = context_.backend.name();
  result_.output_dir = options_.output.dir;
  result_.ranks = comm_.size();
  result_.steps = position_.steps;
  result_.skipped_lines = data_.train.bad_lines();
  result_.overlapped = options_.system.overlapped;
  result_.ledger = trainer_.ledger();
  result_.migrated = trainer_.migrated();
  if (plan_changes_) result_.settled_bytes_per_iteration = plan_changes_->counted_bytes();
  result_.predicted = predict(placed_.planned, system_);
  result_.row_bytes = trainer_.store().bytes();
  result_.planned_memory_bytes = trainer_.memory().needs.total();
  result_.used_memory_bytes = context_.backend.most_memory();
  if (trainer_.store().offloaded()) result_.fetched_buffer_bytes = trainer_.store().offloaded()->buffer_bytes();
  if (result_.stopped)
    tell_stopped();
  else
    write_summary(comm_, result_, folder_.summary());
  if (options_.output.trace) write_trace(comm_, trainer_.ledger(), folder_.trace());
}

void TrainingRun::tell_stopped() const {
  if (comm_.rank() != 0) return;
  if (saved_.samples == position_.samples)
    spdlog::info("stopped on request at {} of {} samples; the same command continues from there", position_.samples,
                 total_samples_);
  else
    spdlog::warn("stopped on request at {} of {} samples; saved are {}", position_.samples, total_samples_,
                 saved_.samples);
}

void TrainingRun::pass(int64_t number) {
  LoaderOptions options = loader_options(parts_, system_, number);
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
    if (plan_changes_) plan_changes_->count(*batch);
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
  if (plan_changes_) plan_changes_->note_step();
  if (passed(options_.placement.replan_every, samples - batch_samples) && samples < total_samples_) replan();
  if (passed(options_.train.eval_every, samples - batch_samples) && samples < total_samples_) evaluate();
  if (passed(options_.output.checkpoint_every, samples - batch_samples) && samples < total_samples_) save();
}

void TrainingRun::report(int64_t samples) {
  const double loss = sum(comm_, interval_loss_) / static_cast<double>(interval_samples_);
  if (!std::isfinite(loss))
    fail("the loss is {} at step {}: the learning rate is too high, or the data contain values that are not finite",
         loss, position_.steps);
  result_.train_loss = loss;
  const double seconds = clock_.seconds() - paused_;
  if (comm_.rank() == 0) {
    metrics_->step(position_.steps, samples, loss, seconds,
                   learning_rate_factor(options_.optimizer, position_.steps - 1));
    progress_->show(samples, loss, static_cast<double>(samples - result_.samples) / seconds, true);
  }
  interval_loss_ = 0;
  interval_samples_ = interval_steps_ = 0;
  if (!stop_asked_ || samples >= total_samples_ || stop_) return;
  result_.stopped = stop_ = sum(comm_, stop_asked_() ? 1.0 : 0.0) > 0;
}

void TrainingRun::replan() {
  const int64_t batch = options_.train.global_batch;
  const int64_t left = std::min(options_.placement.replan_every, total_samples_ - position_.samples);
  const std::optional<Replanning> answer = plan_changes_->ask((left + batch - 1) / batch);
  if (!answer) return;
  if (comm_.rank() == 0) {
    const std::string record = to_json(*answer, position_.steps, position_.samples);
    metrics_->record(record);
    result_.replannings.push_back(record);
    progress_->clear();
    spdlog::info("{}", describe(*answer));
  }
  plan_changes_->carry_out(*answer);
  if (answer->changes) placed_.planned = *answer->next;
}

void TrainingRun::evaluate() {
  evaluated_at_ = position_.samples;
  if (data_.eval_range.size() == 0) return;
  Timer timer;
  Loader loader(data_.eval_data(), data_.eval_range, data_.positions, evaluation_options(parts_, system_));
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
      if (plan_changes_) plan_changes_->save(folder + "/replanning");
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

RunResult run_training(const RunOptions& options, const RankContext& context, const NodePlace& place,
                       const std::function<bool()>& stop) {
  return TrainingRun(options, context, place, stop).run();
}

}  // namespace sparrow
