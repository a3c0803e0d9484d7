#include "training_case.hpp"
#include "data/criteo.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <mutex>
#include <random>

#include "base/random.hpp"
#include "base/shared_memory.hpp"

#include "comm/collectives.hpp"
#include "data/parts.hpp"
#include "test/support/thread_comm.hpp"
#include "train/row_reader.hpp"

namespace sparrow::test {

TrainingCase with_sgd(TrainingCase problem, double learning_rate) {
  problem.optimizer.dense = {OptimizerKind::sgd, learning_rate, 1e-8, 0};
  problem.optimizer.sparse = {OptimizerKind::sgd, learning_rate, 1e-8, 0};
  return problem;
}

TrainingCase with_adagrad(TrainingCase problem, OptimizerKind sparse) {
  problem.optimizer.dense = {OptimizerKind::adagrad, 0.01, 1e-8, 0.01};
  problem.optimizer.sparse = {sparse, 0.02, 1e-8, 0.01};
  return problem;
}

namespace {

/// One sample of the stream, whoever asks.
void append_sample(const TrainingCase& problem, int64_t sample, PartOfBatch& part,
                   std::vector<std::vector<std::vector<int64_t>>>& bags) {
  std::mt19937_64 random(static_cast<uint64_t>(sample) * 7919 + problem.seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  double signal = -0.5;
  for (int i = 0; i < kCriteoDense; ++i) {
    part.dense.push_back(static_cast<float>(uniform(random) * 3));
    signal += (i % 3 - 1) * static_cast<double>(part.dense.back()) / 3;
  }
  for (size_t t = 0; t < problem.rows.size(); ++t) {
    std::vector<int64_t> bag(problem.longest_bag == 1 ? 1 : random() % static_cast<uint64_t>(problem.longest_bag + 1));
    for (int64_t& position : bag) {
      const double u = uniform(random);  // squared: low positions repeat
      position = static_cast<int64_t>(u * u * static_cast<double>(problem.rows[t]));
      signal += position % 2 == 0 ? 0.3 : -0.3;
    }
    bags[t].push_back(std::move(bag));
  }
  part.labels.push_back(uniform(random) < 1 / (1 + std::exp(-signal)) ? 1.0f : 0.0f);
}

template <class Visit>
void for_each_held_row(Trainer& trainer, const Store::IdOfPosition& id_of, Visit visit) {
  const Directory& directory = trainer.directory();
  std::vector<int64_t> keys(directory.slots());
  directory.keys_of_slots(0, keys);
  for (size_t slot = 0; slot < keys.size(); ++slot) {
    if (keys[slot] < 0) continue;
    const int table = directory.tables().table_of(keys[slot]);
    visit(static_cast<int64_t>(slot), table, id_of(table, keys[slot] - directory.tables().first_key(table)));
  }
}

int64_t state_dim_of(const TrainingCase& problem) {
  switch (problem.optimizer.sparse.kind) {
    case OptimizerKind::sgd:
      return 0;
    case OptimizerKind::adagrad:
      return problem.model.embedding_dim;
    case OptimizerKind::rowwise_adagrad:
      return 1;
  }
  return -1;
}

}  // namespace

PartOfBatch::PartOfBatch(const TrainingCase& problem, int64_t k, int rank, int ranks) {
  const SampleRange range = part_of_batch(problem.global_batch, rank, ranks, problem.shares);
  std::vector<std::vector<std::vector<int64_t>>> bags(problem.rows.size());
  for (int64_t s = range.first; s < range.last; ++s) append_sample(problem, k * problem.global_batch + s, *this, bags);
  offsets.push_back(0);
  for (const auto& table : bags)
    for (const auto& bag : table) {
      positions.insert(positions.end(), bag.begin(), bag.end());
      offsets.push_back(static_cast<int64_t>(positions.size()));
    }
  batch.index = k;
  batch.first_sample = k * problem.global_batch + range.first;
  batch.samples = range.size();
  batch.global_samples = problem.global_batch;
  batch.tables = static_cast<int>(problem.rows.size());
  batch.dense = dense;
  batch.labels = labels;
  if (problem.longest_bag != 1) batch.offsets = offsets;
  batch.positions = positions;
}

RankTrainer::RankTrainer(const TrainingCase& problem, Comm& comm) : RankTrainer(problem, make_host_backend(1), comm) {}

RankTrainer::RankTrainer(const TrainingCase& problem, std::unique_ptr<Backend> host, Comm& comm)
    : RankTrainer(problem, RankContext::on_host(*host, comm)) {
  own_backend_ = std::move(host);
}

RankTrainer::RankTrainer(const TrainingCase& problem, const RankContext& context)
    : problem_(problem),
      comm_(context.comm),
      tables_(problem.rows, problem.model.embedding_dim),
      hierarchy_(problem.hierarchy.value_or(Hierarchy::flat(context.comm.size()))) {
  TrainerOptions options;
  options.model = ModelShape(problem.model, 13, std::ssize(problem.rows));
  options.optimizer = problem.optimizer;
  options.precision = problem.precision;
  options.wire = problem.wire;
  options.seed = problem.seed;
  options.room = problem.room;
  options.offloaded.folder = std::filesystem::temp_directory_path();
  options.overlapped = problem.overlapped;
  for (int rank = 0; rank < comm_.size(); ++rank)
    options.limits.samples.push_back(part_of_batch(problem.global_batch, rank, comm_.size(), problem.shares).size());
  options.limits.lookups.assign(problem.rows.size(), problem.longest_bag);
  options.limits.with_offsets = problem.longest_bag != 1;
  options.most_moved = problem.most_moved;
  ResolvedPlan plan = problem.plan.value_or(ResolvedPlan::uniform(tables_, hierarchy_, 0));
  Mapping mapping;
  if (problem.first_use) {
    constexpr int64_t kRemembered = 8;
    plan = by_first_use(plan);
    const int64_t rows = tables_.total_rows();
    const std::vector<int64_t> room =
        problem.mapped_room.empty() ? std::vector<int64_t>(comm_.size(), rows) : problem.mapped_room;
    holder_map_ =
        std::make_unique<HolderMap>(zeroed_memory(HolderMap::bytes(rows, comm_.size())), rows, room, true, kRemembered);
    mapped_ = mapped_keys(tables_, plan);
    mapping = {holder_map_.get(), room[comm_.rank()], std::min(rows, bound_lookups(options.limits))};
    mapping.guests = std::max(mapping.guests, std::min(rows, RowReader::most_guests(tables_, comm_.size())));
  }
  Directory directory(tables_, hierarchy_, plan, comm_.rank(), options.room, mapping);
  MemoryPlan memory = plan_memory(context.backend, directory, options);
  context.backend.restart_most_memory();
  trainer_ = std::make_unique<Trainer>(context, std::move(directory), std::move(memory), options, id_of());
}

Store::IdOfPosition RankTrainer::id_of() const {
  return [rows = problem_.rows](int table, int64_t position) { return rows[table] - 1 - position; };
}

std::unique_ptr<PartOfBatch> RankTrainer::make_part(int64_t k) {
  auto part = std::make_unique<PartOfBatch>(problem_, k, comm_.rank(), comm_.size());
  if (holder_map_) settle(*part);
  return part;
}

/// New rows are held by one of the ranks that train them, in turn by key.
void RankTrainer::settle(const PartOfBatch& part) {
  std::map<int64_t, std::vector<int>> users;
  for (int rank = 0; rank < comm_.size(); ++rank) {
    const PartOfBatch other(problem_, part.batch.index, rank, comm_.size());
    for (int t = 0; t < other.batch.tables; ++t)
      for (int64_t l = other.batch.first_lookup(t); l < other.batch.first_lookup(t + 1); ++l) {
        const int64_t key = tables_.first_key(t) + other.positions[l];
        if (!contains(mapped_, key) || holder_map_->holder(key) != HolderMap::kNobody) continue;
        std::vector<int>& ranks = users[key];
        if (ranks.empty() || ranks.back() != rank) ranks.push_back(rank);
      }
  }
  std::vector<HolderMap::NewHolder> rows;
  for (const auto& [key, ranks] : users) rows.push_back({key, ranks[mix64(static_cast<uint64_t>(key)) % ranks.size()]});
  if (holder_map_->version() == 0) holder_map_->roll_back(part.batch.index);  // where the test begins
  holder_map_->settle(part.batch.index, rows);
}

void RankTrainer::migrate_to(const ResolvedPlan& plan, int64_t copies_per_move) {
  if (!holder_map_) return trainer_->migrate_to(plan, copies_per_move);
  const ResolvedPlan to = by_first_use(plan);
  trainer_->migrate_to(to, copies_per_move);
  mapped_ = mapped_keys(tables_, to);
  next_.reset();
}

void RankTrainer::continue_migration(const ResolvedPlan& plan, const MigrationState& state) {
  const ResolvedPlan to = holder_map_ ? by_first_use(plan) : plan;
  trainer_->continue_migration(to, state);
  mapped_ = mapped_keys(tables_, to);
}

void RankTrainer::place_all() {
  place_by_arithmetic(*holder_map_, tables_, trainer_->directory().plan(), mapped_);
  trainer_->admit_held(true);
}

ResolvedPlan by_first_use(ResolvedPlan plan) {
  for (ResolvedTable& table : plan.tables)
    for (TableRule& rule : table.rules) rule.holders.first_use = true;
  return plan;
}

double RankTrainer::step(int64_t k, bool look_ahead) {
  std::unique_ptr<PartOfBatch> part = std::move(next_);
  if (!part) part = make_part(k);
  if (look_ahead) next_ = make_part(k + 1);
  const double loss = trainer_->step(part->batch, next_ ? &next_->batch : nullptr);
  return sum(comm_, loss) / static_cast<double>(problem_.global_batch);
}

ModelState empty_state(const TrainingCase& problem) {
  ModelState state;
  for (const int64_t n : problem.rows) {
    state.values.emplace_back(n * problem.model.embedding_dim);
    state.state.emplace_back(n * state_dim_of(problem));
  }
  return state;
}

void RankTrainer::predict(int64_t k, std::vector<float>& logits) {
  constexpr int64_t kBeyondSteps = 1000;
  const PartOfBatch part(problem_, kBeyondSteps + k, comm_.rank(), comm_.size());
  double loss_sum = 0;
  const std::span<const float> made = trainer_->predict(part.batch, loss_sum);
  logits.insert(logits.end(), made.begin(), made.end());
}

void RankTrainer::read_state(ModelState& state) {
  trainer_->drain();
  Stream& stream = trainer_->stream();
  if (comm_.rank() == 0) {
    const Dlrm& model = trainer_->model();
    state.dense.resize(model.parameter_count());
    state.dense_state.resize(trainer_->dense_state_size());
    trainer_->backend().copy(stream, state.dense.data(), model.values(), model.parameter_count() * 4);
    trainer_->backend().copy(stream, state.dense_state.data(), trainer_->dense_state(),
                             trainer_->dense_state_size() * 4);
    trainer_->backend().synchronize(stream);
  }
  Store& store = trainer_->store();
  const int64_t dim = store.rows().dim, state_dim = store.rows().state_dim, slots = trainer_->directory().slots();
  std::vector<float> values(slots * dim), row_state(slots * state_dim);
  store.read(trainer_->stream(), 0, slots, values.data(), row_state.data());
  for_each_held_row(*trainer_, id_of(), [&](int64_t slot, size_t table, int64_t id) {
    std::copy_n(values.data() + slot * dim, dim, state.values[table].data() + id * dim);
    std::copy_n(row_state.data() + slot * state_dim, state_dim, state.state[table].data() + id * state_dim);
  });
}

void RankTrainer::write_state(const ModelState& state) {
  Backend& backend = trainer_->backend();
  backend.copy(trainer_->stream(), trainer_->model().values(), state.dense.data(), std::ssize(state.dense) * 4);
  backend.copy(trainer_->stream(), trainer_->dense_state(), state.dense_state.data(),
               std::ssize(state.dense_state) * 4);
  backend.synchronize(trainer_->stream());
  trainer_->model().refresh(trainer_->stream());
  const int64_t dim = trainer_->store().rows().dim, state_dim = trainer_->store().rows().state_dim;
  for_each_held_row(*trainer_, id_of(), [&](int64_t slot, size_t table, int64_t id) {
    trainer_->store().write(trainer_->stream(), slot, 1, state.values[table].data() + id * dim,
                            state.state[table].data() + id * state_dim);
  });
}

Trained train(const TrainingCase& problem, int ranks, int64_t steps, const ModelState* start, int64_t first) {
  Trained result{{}, empty_state(problem)};
  run_ranks(ranks, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    if (start) trainer.write_state(*start);
    trainer->set_steps(first);
    for (int64_t k = first; k < first + steps; ++k) {
      const double loss = trainer.step(k, k + 1 < first + steps);
      if (comm.rank() == 0) result.losses.push_back(loss);
    }
    trainer.read_state(result.state);
  });
  return result;
}

namespace {

double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return INFINITY;
  double squares = 0, most = 0;
  for (const float x : b) squares += static_cast<double>(x) * static_cast<double>(x);
  const double r = std::sqrt(squares / static_cast<double>(std::max<size_t>(1, b.size())));
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (std::isnan(difference)) return INFINITY;
    if (difference > 0) most = std::max(most, difference / std::max(r, std::abs(static_cast<double>(b[i]))));
  }
  return most;
}

}  // namespace

double relative_difference(const ModelState& a, const ModelState& b) {
  double most = std::max(relative_difference(a.dense, b.dense), relative_difference(a.dense_state, b.dense_state));
  for (size_t t = 0; t < b.values.size(); ++t)
    most = std::max({most, relative_difference(a.values[t], b.values[t]), relative_difference(a.state[t], b.state[t])});
  return most;
}

}  // namespace sparrow::test
