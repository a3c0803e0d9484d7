#include "train/trainer.hpp"

#include <algorithm>
#include <vector>

#include "base/error.hpp"
#include "comm/collectives.hpp"

namespace sparrow {

double learning_rate_factor(const OptimizerOptions& options, int64_t step) {
  if (step < options.warmup_steps) return static_cast<double>(step + 1) / static_cast<double>(options.warmup_steps);
  if (options.decay_steps == 0 || step < options.decay_start) return 1;
  const int64_t left = std::max<int64_t>(1, options.decay_start + options.decay_steps - step);
  const double share = static_cast<double>(left) / static_cast<double>(options.decay_steps);
  return share * share;
}

namespace {

OptimizerStep at_factor(const OptimizerOptions::One& options, double factor) {
  return {options.kind, static_cast<float>(options.lr * factor), static_cast<float>(options.eps)};
}

}  // namespace

Trainer::Trainer(const RankContext& context, Directory directory, MemoryPlan memory, const TrainerOptions& options,
                 const Store::IdOfPosition& id_of)
    : context_(context),
      backend_(context.backend),
      options_(options),
      stream_(backend_.make_stream()),
      comms_(context.comm, context.device_comm, directory.hierarchy()),
      directory_(std::move(directory)),
      memory_(std::move(memory)),
      store_(backend_, directory_, state_dim(options.optimizer.sparse.kind, directory_.tables().dim()),
             options.offloaded),
      admission_(directory_, store_),
      exchange_(context_, directory_, comms_, store_.rows(), store_.offloaded(), options.wire, &admission_),
      model_(backend_, *stream_, options.model, options.precision, max_samples(), options.seed),
      reduce_dense_(backend_, context.device_comm, directory_.hierarchy(), model_.parameter_count(), DType::f32),
      dense_state_(backend_, Memory::device,
                   options.optimizer.dense.kind == OptimizerKind::sgd ? 0 : model_.parameter_count(),
                   MemoryPart::dense),
      dense_input_(backend_, Memory::device, max_samples() * options.model.dense_features, MemoryPart::activations),
      labels_(backend_, Memory::device, max_samples(), MemoryPart::activations),
      pinned_input_(backend_, Memory::pinned,
                    backend_.device_is_host() ? 0 : max_samples() * (options.model.dense_features + 1)),
      loss_sum_(backend_, Memory::pinned, 1),
      loss_ready_(backend_.make_event()),
      dense_traffic_(comms_.count()),
      logits_(backend_, Memory::pinned, max_samples()),
      pipeline_(context_, exchange_, comms_, ledger_, options.overlapped) {
  ledger_.profiled = &backend_;
  SPARROW_CHECK(options.optimizer.dense.kind != OptimizerKind::rowwise_adagrad,
                "row-wise Adagrad is for embedding rows");
  store_.initialise(*stream_, options.seed, static_cast<float>(options.optimizer.sparse.initial_accumulator), id_of);
  if (dense_state_.size() > 0) {
    const std::vector<float> filled(dense_state_.size(),
                                    static_cast<float>(options.optimizer.dense.initial_accumulator));
    backend_.copy(*stream_, dense_state_.data(), filled.data(), dense_state_.size() * 4);
    backend_.synchronize(*stream_);
  }
  backend_.reserve_scratch(
      *stream_, backend_.scratch_bytes(options.model.products(options.precision, max_samples()), 0, options.model.dim));
  reserve();
}

/// Where device memory is the host's, buffers grow with the batches.
void Trainer::reserve() {
  if (backend_.device_is_host()) return;
  pipeline_.reserve(bound_exchange(directory_, options_.limits, size_of(options_.wire), options_.overlapped));
}

Traffic Trainer::stage_traffic(int stage) const {
  return comms_.traffic(stage) + exchange_.stage_traffic(stage) + reduce_dense_.comms().traffic(stage);
}

/// What of a batch needs no embedding rows.
void Trainer::forward_dense(const Batch& batch) {
  SPARROW_CHECK(batch.samples <= max_samples(), "a part of {} samples, planned for {}", batch.samples, max_samples());
  const int64_t dense_values = batch.samples * options_.model.dense_features;
  const float *dense = batch.dense.data(), *labels = batch.labels.data();
  if (!backend_.device_is_host()) {  // by way of pinned memory: the host would wait for copies from any other
    float *pinned_dense = pinned_input_.data(), *pinned_labels = pinned_dense + dense_values;
    dense = std::copy_n(dense, dense_values, pinned_dense) - dense_values;
    labels = std::copy_n(labels, batch.samples, pinned_labels) - batch.samples;
  }
  backend_.copy(*stream_, dense_input_.data(), dense, dense_values * 4);
  backend_.copy(*stream_, labels_.data(), labels, batch.samples * 4);
  model_.forward_dense(*stream_, dense_input_.data(), batch.samples);
}

double Trainer::step(const Batch& batch, const Batch* next) {
  SPARROW_CHECK(batch.global_samples > 0);
  move_rows();
  if (migration_) next = nullptr;  // more rows move before its step
  const double factor = learning_rate_factor(options_.optimizer, steps_);
  {
    Ledger::Booking booking(ledger_, Phase::compute);
    forward_dense(batch);
  }
  const BatchRoute& route = pipeline_.begin(*stream_, batch, next, at_factor(options_.optimizer.sparse, factor));
  ++ledger_.iterations;
  ledger_.samples += batch.samples;
  ledger_.lookups += route.lookups;
  // Where bags are pooled at their holders, what reaches this rank is a vector per part of a bag.
  ledger_.distinct_rows += route.rows.lists.back().count + route.pooled.parts.asked.total;
  ledger_.dirty_rows += route.rows.dirty_rows() + route.pooled.parts.asked.total;
  {
    Ledger::Booking booking(ledger_, Phase::compute);
    model_.forward_bags(*stream_, route.bags, route.addresses());
  }
  pipeline_.before_backward(*stream_);
  Matrix bag_gradients;
  {
    Ledger::Booking booking(ledger_, Phase::compute);
    const float scale = static_cast<float>(1.0 / static_cast<double>(batch.global_samples));
    bag_gradients = model_.backward_to_bags(*stream_, labels_.data(), scale, loss_sum_.data());
    backend_.record(*loss_ready_, *stream_);
  }
  pipeline_.give_gradients(*stream_, bag_gradients);
  {
    Ledger::Booking booking(ledger_, Phase::compute);
    model_.backward_dense(*stream_);
  }
  {
    Ledger::Booking booking(ledger_, Phase::allreduce);
    reduce_gradients();
  }
  {
    Ledger::Booking booking(ledger_, Phase::update);
    backend_.update_dense(*stream_, at_factor(options_.optimizer.dense, factor), model_.values(), model_.gradients(),
                          dense_state_.data(), model_.parameter_count());
    model_.refresh(*stream_);
  }
  backend_.synchronize(*loss_ready_);
  ++steps_;
  return loss_sum_[0];
}

void Trainer::reduce_gradients() {
  const StageComms& comms = reduce_dense_.comms();
  const CountedTraffic counted(ledger_, dense_traffic_, [&](int stage) { return comms.traffic(stage); });
  reduce_dense_.sum(*stream_, model_.gradients());
}

void Trainer::admit_held(bool filled) {
  constexpr size_t kAtATime = 1 << 14;
  const HolderMap* map = directory_.holder_map();
  if (map == nullptr) return;
  std::vector<int64_t> keys, admitted, slots;
  const auto admit = [&] {
    admitted.clear();
    slots.clear();
    directory_.admit(keys, admitted, slots);
    if (filled) {
      store_.fill(*stream_, admitted, slots);
      backend_.synchronize(*stream_);
    }
    keys.clear();
  };
  for (const KeyRange& range : mapped_keys(directory_.tables(), directory_.plan()))
    for (int64_t key = range.first; key < range.end; ++key) {
      if (map->holder(key) != directory_.rank()) continue;
      keys.push_back(key);
      if (keys.size() == kAtATime) admit();
    }
  admit();
}

void Trainer::migrate_to(const ResolvedPlan& plan, int64_t copies_per_move) {
  SPARROW_CHECK(!migration_, "rows are on their way to another plan already");
  pipeline_.forget();
  if (HolderMap* map = directory_.holder_map()) {
    directory_.dismiss(map->roll_back(steps_));
    barrier(context_.comm);
  }
  std::string why_not;
  const int slices = Migration::slices_that_fit(context_.comm, directory_, plan, why_not);
  if (slices == 0) fail("{}", why_not);
  if (options_.most_moved > 0) copies_per_move = std::min(copies_per_move, options_.most_moved);
  settle_moved_rows(plan);
  continue_migration(plan, {copies_per_move, slices, 0});
}

/// Rows that only one of the plans maps get the holders that they are moved from or to. So a row that leaves the map has
/// one until it has moved, whoever assigns samples meanwhile.
void Trainer::settle_moved_rows(const ResolvedPlan& plan) {
  HolderMap* map = directory_.holder_map();
  if (map == nullptr) return;
  const Tables& tables = directory_.tables();
  const std::vector<KeyRange> from = mapped_keys(tables, directory_.plan()), to = mapped_keys(tables, plan);
  for (const KeyRange& range : without({{0, tables.total_rows()}}, from)) map->forget(range);  // of earlier moves
  place_by_arithmetic(*map, tables, directory_.plan(), without(from, to), false);
  place_by_arithmetic(*map, tables, plan, without(to, from), false);
  barrier(context_.comm);
}

std::string Trainer::lack_of_room(const ResolvedPlan& plan) const {
  std::string why_not;
  Migration::slices_that_fit(context_.comm, directory_, plan, why_not);
  if (!why_not.empty() || backend_.device_is_host()) return why_not;
  const Directory next(directory_.tables(), directory_.hierarchy(), plan, directory_.rank(), directory_.room(),
                       {directory_.holder_map(), 0, directory_.guests()});
  return lack_of_memory(context_.comm, plan_memory(backend_, next, options_).needs, memory_.budget).why;
}

void Trainer::continue_migration(const ResolvedPlan& plan, const MigrationState& state) {
  SPARROW_CHECK(!migration_, "rows are on their way to another plan already");
  pipeline_.forget();
  migration_ = std::make_unique<Migration>(context_, directory_, store_, plan, state);
  if (HolderMap* map = directory_.holder_map()) {
    map->set_room(all_gather(context_.comm, migration_->room_of_mapped_rows()), mapped_keys(directory_.tables(), plan));
    barrier(context_.comm);
  }
  take_plan();
  if (migration_->finished()) migration_.reset();
}

/// The directory follows another plan.
void Trainer::take_plan() {
  exchange_.replan();
  memory_.needs = plan_memory(backend_, directory_, options_).needs;
  reserve();
}

/// The next rows of a move under way.
void Trainer::move_rows() {
  if (!migration_) return;
  pipeline_.forget();
  migration_->move(*stream_);
  if (!migration_->finished()) return;
  migrated_ = migrated();
  migration_.reset();
  take_plan();
}

MigrationTotals Trainer::migrated() const {
  MigrationTotals all = migrated_;
  if (migration_) all += migration_->totals();
  return all;
}

std::span<const float> Trainer::predict(const Batch& batch, double& loss_sum) {
  forward_dense(batch);
  const BatchRoute& route = pipeline_.fetch(*stream_, batch);
  const float* logits = model_.forward_bags(*stream_, route.bags, route.addresses());
  model_.loss(*stream_, labels_.data(), loss_sum_.data());
  backend_.copy(*stream_, logits_.data(), logits, batch.samples * 4);
  backend_.synchronize(*stream_);
  pipeline_.finish_fetch();
  loss_sum += loss_sum_[0];
  return logits_.span().first(batch.samples);
}

}  // namespace sparrow
