#include "run/training_run.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/error.hpp"
#include "checkpoint/checkpoint.hpp"
#include "checkpoint/model_loading.hpp"
#include "comm/collectives.hpp"
#include "run/metrics_file.hpp"
#include "run/progress.hpp"
#include "run/replanner.hpp"
#include "run/run.hpp"
#include "run/run_folder.hpp"

namespace sparrow {

namespace {

/// Keeps batches alive while the exchange reads ahead, also when an error passes by.
class BatchesInUse {
 public:
  explicit BatchesInUse(Trainer& trainer) : trainer_(trainer) {}
  ~BatchesInUse() { trainer_.release_batches(); }
  BatchesInUse(const BatchesInUse&) = delete;
  BatchesInUse& operator=(const BatchesInUse&) = delete;

 private:
  Trainer& trainer_;
};

/// Takes a run from where it begins, or was saved, to its end.
class TrainingLoop {
 public:
  TrainingLoop(const RunFolder& folder, Run& run, const std::function<bool()>& stop);
  RunResult train();

 private:
  void restore();
  void open_records();
  void pass();
  void after_step(const Batch& batch, double loss_sum);
  void report();
  bool asked_to_stop() const;
  void evaluate_model();
  void save();
  bool replanning_due(int64_t samples) const;
  void replan();
  void stop_batches();
  void finish();
  void tell_stopped() const;

  const RunFolder& folder_;
  Run& run_;
  const std::function<bool()>& stop_asked_;
  const RunOptions& options_;
  Comm& comm_;
  Trainer& trainer_;
  const bool first_;  ///< rank 0, which tells
  const int64_t total_samples_;
  std::unique_ptr<Replanner> replanner_;  ///< if placement.replan_every > 0
  std::unique_ptr<MetricsFile> metrics_;  ///< rank 0's
  std::unique_ptr<Progress> progress_;    ///< rank 0's
  RunPosition began_, position_, saved_;
  Timer clock_;
  double paused_ = 0;  ///< seconds of clock_ spent on evaluation and checkpoints
  double interval_loss_ = 0;
  int64_t interval_samples_ = 0, interval_steps_ = 0, evaluated_at_ = -1;
  RunResult result_;
  std::unique_ptr<BatchSource> batches_;  ///< of the pass; null once the plan has changed that they are made for
  bool stop_ = false;
};

TrainingLoop::TrainingLoop(const RunFolder& folder, Run& run, const std::function<bool()>& stop)
    : folder_(folder),
      run_(run),
      stop_asked_(stop),
      options_(run.options),
      comm_(run.context.comm),
      trainer_(*run.trainer),
      first_(comm_.rank() == 0),
      total_samples_(run.total_samples()) {
  if (first_) {
    folder_.save_decisions(run_.planned.plan, run_.system.topology);
    spdlog::info("{}", describe_plan(run_.planned, run_.system.topology));
  }
  barrier(comm_);
  trainer_.ledger().tracing = options_.output.trace;
  restore();
  if (first_) open_records();
}

/// What the run continues from, or begins with.
void TrainingLoop::restore() {
  if (options_.placement.replan_every > 0)
    replanner_ = std::make_unique<Replanner>(options_, run_.data, run_.tables, run_.system, run_.planned, trainer_);
  if (folder_.continues()) {
    position_ = load_checkpoint(trainer_, run_.id_of, folder_.checkpoint(), [&] {
      const std::string saved = folder_.saved_replanning();
      if (saved.empty()) return;
      replanner_->load(saved);
      if (!trainer_.migration()) return;
      run_.planned.plan = replanner_->plan();  // samples are assigned by the plan that rows move to
      run_.planned.resolved = resolve(run_.planned.plan, run_.system);
    });
    spdlog::info("continuing from {} ({} samples)", folder_.checkpoint(), position_.samples);
    if (position_.samples >= total_samples_)
      spdlog::info(
          "training is already complete; --set output.resume=never starts again, output.dir=... starts elsewhere");
  } else if (!options_.train.init.empty()) {
    load_weights(trainer_, run_.id_of, options_.train.init);
    spdlog::info("starting from the weights of {}", options_.train.init);
  }
  began_ = saved_ = position_;
  trainer_.set_steps(position_.steps);
  barrier(comm_);
}

void TrainingLoop::open_records() {
  if (folder_.continues()) folder_.cut_metrics(position_.samples);
  if (position_.samples < total_samples_) folder_.remove_summary();
  metrics_ = std::make_unique<MetricsFile>(folder_.metrics(), folder_.continues());
  progress_ = std::make_unique<Progress>(total_samples_);
}

RunResult TrainingLoop::train() {
  const int64_t per_pass = run_.data.train_range.size();
  clock_.restart();
  while (position_.samples < total_samples_ && !stop_) {
    const int64_t number = position_.samples / per_pass;
    batches_ = run_.training_batches(number, (position_.samples - number * per_pass) / options_.train.global_batch);
    pass();
    batches_.reset();
  }
  trainer_.drain();
  if (interval_steps_ > 0) report();
  result_.seconds = clock_.seconds() - paused_;
  if (progress_) progress_->clear();
  if (evaluated_at_ != position_.samples && !result_.stopped) evaluate_model();
  if (options_.output.checkpoint_every >= 0 && saved_.samples != position_.samples) save();
  finish();
  return result_;
}

void TrainingLoop::pass() {
  const BatchesInUse in_use(trainer_);
  const auto next_batch = [&] {
    Ledger::Booking booking(trainer_.ledger(), Phase::data);
    return batches_->next();
  };
  for (const Batch* batch = next_batch(); batch != nullptr;) {
    const int64_t samples = position_.samples + batch->global_samples;
    // Another plan may assign the samples of the next batch otherwise: it is not taken before that is decided.
    const bool may_change = run_.planned.plan.in_turn() && replanning_due(samples);
    const Batch* next = samples >= total_samples_ || may_change ? nullptr : next_batch();
    after_step(*batch, trainer_.step(*batch, next));
    if (stop_ || !batches_) return;
    batch = may_change && position_.samples < total_samples_ ? next_batch() : next;
  }
}

void TrainingLoop::after_step(const Batch& batch, double loss_sum) {
  const int64_t before = position_.samples;
  const bool replan_now = replanning_due(before + batch.global_samples);
  position_ = {trainer_.steps(), before + batch.global_samples};
  interval_loss_ += loss_sum;
  interval_samples_ += batch.global_samples;
  ++interval_steps_;
  if (interval_steps_ >= options_.output.report_every) report();
  if (replanner_) replanner_->note_step(batch);
  if (position_.samples >= total_samples_) return;  // what is due at the end has its place there
  const auto due = [&](int64_t every) { return every > 0 && position_.samples / every > before / every; };
  if (replan_now) replan();
  if (due(options_.train.eval_every)) evaluate_model();
  if (due(options_.output.checkpoint_every)) save();
}

void TrainingLoop::report() {
  const double loss = sum(comm_, interval_loss_) / static_cast<double>(interval_samples_);
  if (!std::isfinite(loss))
    fail("the loss is {} at step {}: the learning rate is too high, or the data contain values that are not finite",
         loss, position_.steps);
  result_.train_loss = loss;
  const double seconds = clock_.seconds() - paused_;
  if (first_) {
    metrics_->step(position_.steps, position_.samples, loss, seconds,
                   learning_rate_factor(options_.optimizer, position_.steps - 1));
    progress_->show(position_.samples, loss, static_cast<double>(position_.samples - began_.samples) / seconds, true);
  }
  interval_loss_ = 0;
  interval_samples_ = interval_steps_ = 0;
  if (stop_asked_ && position_.samples < total_samples_ && !stop_) result_.stopped = stop_ = asked_to_stop();
}

bool TrainingLoop::asked_to_stop() const {
  return sum(comm_, stop_asked_() ? 1.0 : 0.0) > 0;
}

/// Whether it is asked at so many samples if another plan is worth moving to.
bool TrainingLoop::replanning_due(int64_t samples) const {
  const int64_t every = options_.placement.replan_every;
  return every > 0 && samples / every > position_.samples / every;
}

void TrainingLoop::replan() {
  const int64_t batch = options_.train.global_batch;
  const int64_t left = std::min(options_.placement.replan_every, total_samples_ - position_.samples);
  const std::optional<Replan> answer = replanner_->ask((left + batch - 1) / batch);
  if (!answer) return;
  if (first_) {
    const std::string record = to_json(*answer, position_.steps, position_.samples);
    metrics_->record(record);
    result_.replannings.push_back(record);
    progress_->clear();
    spdlog::info("{}", describe(*answer));
  }
  if (answer->changes && (run_.planned.plan.in_turn() || answer->next->plan.in_turn())) stop_batches();
  replanner_->carry_out(*answer);
  if (answer->changes) run_.planned = *answer->next;
}

/// Batches that are assigned by the plan that was in force are not trained: others take their place.
void TrainingLoop::stop_batches() {
  trainer_.release_batches();
  batches_.reset();
  if (!run_.holder_map) return;
  barrier(comm_);  // nothing is forgotten before all ranks have settled all
  run_.holder_map->roll_back(position_.steps);
  barrier(comm_);
}

void TrainingLoop::evaluate_model() {
  evaluated_at_ = position_.samples;
  if (run_.data.eval_range.size() == 0) return;
  const Timer timer;
  const Metrics metrics = evaluate(trainer_, *run_.held_out_batches());
  result_.eval = metrics;
  if (first_) {
    progress_->clear();
    metrics_->evaluation(position_.steps, position_.samples, metrics, clock_.seconds() - paused_);
    spdlog::info("{} samples: held-out AUC {:.5f}, log loss {:.5f}, accuracy {:.4f}", position_.samples, metrics.auc,
                 metrics.logloss, metrics.accuracy);
  }
  if (options_.train.target_auc > 0 && metrics.auc >= options_.train.target_auc) stop_ = true;
  paused_ += timer.seconds();
}

void TrainingLoop::save() {
  const Timer timer;
  try {
    const auto save_more = [&](const std::string& folder) {
      if (replanner_) replanner_->save(folder + "/replanning");
    };
    save_checkpoint(comm_, trainer_, run_.position_of, position_, options_.output.dir, options_.output.keep, save_more);
    saved_ = position_;
    if (first_) spdlog::info("saved the model at {} samples", position_.samples);
  } catch (const Error& error) {
    if (options_.output.stop_on_checkpoint_error) throw;
    spdlog::warn("{}", error.what());
  }
  paused_ += timer.seconds();
}

/// The facts of the run, its summary and its trace.
void TrainingLoop::finish() {
  result_.samples = position_.samples - began_.samples;
  result_.backend = run_.context.backend.name();
  result_.output_dir = options_.output.dir;
  result_.ranks = comm_.size();
  result_.steps = position_.steps;
  result_.skipped_lines = run_.data.train.bad_lines();
  result_.overlapped = options_.system.overlapped;
  result_.ledger = trainer_.ledger();
  result_.migrated = trainer_.migrated();
  if (replanner_) result_.settled_bytes_per_iteration = replanner_->counted_bytes();
  result_.predicted = predict(run_.planned, run_.system);
  result_.row_bytes = trainer_.store().bytes();
  result_.planned_memory_bytes = trainer_.memory().needs.total();
  result_.used_memory_bytes = run_.context.backend.most_memory();
  if (trainer_.store().offloaded()) result_.fetched_buffer_bytes = trainer_.store().offloaded()->buffer_bytes();
  if (result_.stopped)
    tell_stopped();
  else
    write_summary(comm_, result_, folder_.summary());
  if (options_.output.trace) write_trace(comm_, trainer_.ledger(), folder_.trace());
}

void TrainingLoop::tell_stopped() const {
  if (!first_) return;
  if (saved_.samples == position_.samples)
    spdlog::info("stopped on request at {} of {} samples; the same command continues from there", position_.samples,
                 total_samples_);
  else
    spdlog::warn("stopped on request at {} of {} samples; saved are {}", position_.samples, total_samples_,
                 saved_.samples);
}

}  // namespace

RunResult run_training(const RunOptions& options, const RankContext& context, const NodePlace& place,
                       const std::function<bool()>& stop) {
  const RunFolder folder(context.comm, options);
  Run run(folder.with_saved_decisions(), context, place, folder.start());
  return TrainingLoop(folder, run, stop).train();
}

}  // namespace sparrow
