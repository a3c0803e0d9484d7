// Small trainings for tests: a stream of random samples that every rank can make its part of, trainers on ranks that
// are threads, and the whole state of a model as plain data, by row id, however it is spread over ranks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "comm/comm.hpp"
#include "layout/hierarchy.hpp"
#include "train/trainer.hpp"

namespace sparrow::test {

/// What is trained, and on what.
struct TrainingCase {
  std::vector<int64_t> rows = {1, 5, 40, 300};  ///< of each table
  ModelOptions model{8, {12}, {16, 8}};
  OptimizerOptions optimizer;
  DType precision = DType::f32;
  int64_t global_batch = 64;
  int longest_bag = 1;                 ///< bags of 1 lookup, or if more of 0 to this many
  std::vector<double> shares;          ///< of the ranks; empty: equal
  std::optional<Hierarchy> hierarchy;  ///< none: flat
  std::optional<ResolvedPlan> plan;    ///< for that hierarchy; none: every row on one rank
  DType wire = DType::f32;
  SlotRoom room;                     ///< of each rank, for rows that move
  int64_t most_moved = 0;            ///< see TrainerOptions
  bool first_use = false;            ///< rows with one copy are held by a rank that uses them first
  std::vector<int64_t> mapped_room;  ///< most of these at each rank; empty: enough for all
  bool overlapped = false;
  uint64_t seed = 11;
};

/// The case with plain SGD at this learning rate.
TrainingCase with_sgd(TrainingCase problem, double learning_rate);
TrainingCase with_adagrad(TrainingCase problem, OptimizerKind sparse);

/// Everything that training changes. Rows by id.
struct ModelState {
  std::vector<float> dense, dense_state;
  std::vector<std::vector<float>> values, state;  ///< per table, (rows, dim) and (rows, state_dim)
  bool operator==(const ModelState&) const = default;
};

/// One rank's part of global batch k and the memory behind it.
struct PartOfBatch {
  PartOfBatch(const TrainingCase& problem, int64_t k, int rank, int ranks);
  PartOfBatch(const PartOfBatch&) = delete;
  Batch batch;
  std::vector<float> dense, labels;
  std::vector<int64_t> offsets, positions;
};

/// A trainer on one rank with all that must outlive it. The one place where tests build trainers.
class RankTrainer {
 public:
  /// On a host backend of its own.
  RankTrainer(const TrainingCase& problem, Comm& comm);
  /// What context refers to must outlive it.
  RankTrainer(const TrainingCase& problem, const RankContext& context);

  Trainer& operator*() { return *trainer_; }
  Trainer* operator->() { return trainer_.get(); }
  const TrainingCase& problem() const { return problem_; }

  /// Collective. Trains on batch k; the mean loss over all ranks' samples, before the update. look_ahead: batch k + 1
  /// follows.
  double step(int64_t k, bool look_ahead = false);
  /// As Trainer::migrate_to; the batch that was announced is settled anew.
  void migrate_to(const ResolvedPlan& plan, int64_t copies_per_move);
  void continue_migration(const ResolvedPlan& plan, const MigrationState& state);
  /// Collective. Appends this rank's logits of a batch that no step trains on, another for every k.
  void predict(int64_t k, std::vector<float>& logits);

  /// Writes what this rank holds into `state`, made to size if it is empty; ranks may do so at the same time.
  void read_state(ModelState& state);
  void write_state(const ModelState& state);

  HolderMap* holder_map() { return holder_map_.get(); }
  /// Every row gets the holder that arithmetic says, unless it has one.
  void place_all();

  /// Positions run against ids, so that a mix-up of the two shows.
  Store::IdOfPosition id_of() const;
  Store::IdOfPosition position_of() const { return id_of(); }

 private:
  RankTrainer(const TrainingCase& problem, std::unique_ptr<Backend> host, Comm& comm);
  std::unique_ptr<PartOfBatch> make_part(int64_t k);
  void settle(const PartOfBatch& part);

  TrainingCase problem_;
  Comm& comm_;
  Tables tables_;
  Hierarchy hierarchy_;
  std::unique_ptr<Backend> own_backend_;
  std::unique_ptr<PartOfBatch> next_;  ///< announced
  std::unique_ptr<HolderMap> holder_map_;
  std::vector<KeyRange> mapped_;
  std::unique_ptr<Trainer> trainer_;
};

/// The plan with the holders of all its tables by first use.
ResolvedPlan by_first_use(ResolvedPlan plan);

/// A model state of the right sizes, all zero.
ModelState empty_state(const TrainingCase& problem);

struct Trained {
  std::vector<double> losses;  ///< of each step
  ModelState state;            ///< afterwards
};

/// Trains `steps` steps from batch `first` on, from `start` (nullptr: from the initial values), on this many ranks.
Trained train(const TrainingCase& problem, int ranks, int64_t steps, const ModelState* start = nullptr,
              int64_t first = 0);

/// The largest |a - b| / max(|b|, r) over all values, r being the root mean square of the tensor that b is in: relative
/// error, where a value that happens to lie near 0 is measured against its tensor.
double relative_difference(const ModelState& a, const ModelState& b);

}  // namespace sparrow::test
