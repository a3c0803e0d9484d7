// The cost model as linear forms. For a pair (topology, workload) it knows
//   features      of a class: 1, v(a), u v(a) and (1 - u) v(a) for every domain type a, and p of every access group: all
//                 that loads depend on; where samples are assigned, v(a) times its factors as well;
//   quantities    of an iteration: bytes of each flow (stage, domain, direction), work of each rank type, bytes moved and
//                 kept by each store;
//   coefficients  with which one row of an option, of given features, adds to each quantity (loads.cpp);
//   time rows     that turn quantities into seconds of a resource in a step, and how steps combine to T (timing.cpp).
// evaluate() sums features over rows and reads off T; the optimiser hands the same coefficients to a linear programme.
// For a plan it sums them for every instance of a domain, over the rows that are dealt to it (dealt.cpp).
#pragma once

#include <map>
#include <tuple>
#include <vector>

#include "base/packing.hpp"
#include "placement/cost/cost.hpp"

namespace sparrow::placement {

/// What is exchanged. Of the overlapped iteration, by when it can move: dirty is what waits for the backward pass (rows
/// that this batch updates and the next one needs, and all that is copied or pooled), clean is what moves
/// beside it (rows of the next batch that this one leaves alone, gradients of the one before that this one does not
/// need).
enum class Flow : uint8_t {
  ids,
  rows,
  gradients,  // staged
  direct_ids,
  direct_rows,
  direct_gradients,  // between holder and rank
  up,
  down,  // reduction over copies, and of the dense parameters
  dirty_rows,
  dirty_gradients,
  dirty_direct_rows,
  dirty_direct_gradients,
  dirty_up,
  dirty_down,  // of rows
  clean_rows,
  clean_gradients,
  clean_direct_rows,
  clean_direct_gradients,
  dense_up,
  dense_down,  // of the dense parameters
  samples,     // from who reads them to who trains them; the mean over the readers in turn
};
constexpr int kFlows = 21;
enum class Direction : uint8_t { in, out };

/// Numbering of the quantities. All are per instance of their domain and per iteration.
class Quantities {
 public:
  explicit Quantities(const Tree& tree);
  int size() const { return size_; }
  /// Bytes of stage `stage` into or out of an instance of e, level(e) >= stage.
  int flow(Flow kind, int stage, int e, Direction direction) const {
    return flow_[static_cast<size_t>(kind)][static_cast<size_t>(stage)][static_cast<size_t>(e)] +
           static_cast<int>(direction);
  }
  // Bytes of work.
  int bags(int rank) const { return work(rank, 0); }    ///< rows pooled into the bags of its own samples
  int gather(int rank) const { return work(rank, 1); }  ///< rows read to be sent, or pooled for others
  int dirty_gather(int rank) const { return work(rank, 2); }
  int clean_gather(int rank) const { return work(rank, 3); }
  int update(int rank) const { return work(rank, 4); }  ///< rows and their optimiser state
  int dirty_update(int rank) const { return work(rank, 5); }
  int clean_update(int rank) const { return work(rank, 6); }
  int dense_update(int rank) const { return work(rank, 7); }  ///< dense parameters
  int listed(int rank) const { return work(rank, 8); }  ///< ids, not bytes: listed for other ranks, or come from them
  int memory(Site s) const { return sites_[s.domain] + 3 * s.store; }           ///< bytes kept
  int store_read(Site s) const { return sites_[s.domain] + 3 * s.store + 1; }   ///< bytes read before the forward pass
  int store_write(Site s) const { return sites_[s.domain] + 3 * s.store + 2; }  ///< bytes moved by the update
  int owner(int quantity) const { return owner_[quantity]; }                    ///< the domain that it is of
  int above(int quantity) const { return above_[quantity]; }  ///< of a flow: the same through the parent, or -1

 private:
  static constexpr int kWork = 9;
  int work(int rank, int kind) const { return work_[rank] + kind; }

  int size_ = 0;
  std::vector<std::vector<std::vector<int>>> flow_;
  std::vector<int> work_, sites_, owner_, above_;
};

/// Numbering of the features of a class.
struct Features {
  int domains = 0, groups = 1;
  bool packed = false;    ///< some slower store moves blocks of several rows
  bool assigned = false;  ///< samples go to their rows
  int size() const { return 1 + (packed ? 4 : 3) * domains + groups + (assigned ? 6 * domains : 0); }
  static constexpr int one() { return 0; }
  static constexpr int v(int a) { return 1 + a; }         ///< touched by a in an iteration
  int dirty(int a) const { return 1 + domains + a; }      ///< u v(a): touched by anyone now and by a in the next
  int clean(int a) const { return 1 + 2 * domains + a; }  ///< (1 - u) v(a): by nobody now and by a in the next
  int p(int group) const { return 1 + 3 * domains + group; }
  /// Blocks of the row's store that a touches in an iteration, per row of them; only if packed.
  int blocks(int a) const { return 1 + 3 * domains + groups + a; }
  // Only if assigned: the same three of rows that have one copy; v(a) as far as they enter a from elsewhere, and as far
  // as a looks them up.
  int into(int a) const { return of_assigned(0) + a; }
  int into_dirty(int a) const { return of_assigned(1) + a; }
  int into_clean(int a) const { return of_assigned(2) + a; }
  int distinct(int a) const { return of_assigned(3) + a; }
  int distinct_dirty(int a) const { return of_assigned(4) + a; }
  int distinct_clean(int a) const { return of_assigned(5) + a; }
  /// Only in rank terms and sums: vectors per sample of a rank that draws from the group.
  int pairs(int group) const { return size() + group; }

 private:
  int of_assigned(int kind) const { return 1 + (packed ? 4 : 3) * domains + groups + kind * domains; }
};

/// coefficient * feature is added to quantity by one row.
struct Coefficient {
  int quantity = 0, feature = 0;
  double value = 0;
};

/// What the coefficients of a table depend on.
struct TableShape {
  double row_bytes = 0, stored_bytes = 0, wire_bytes = 0, id_bytes = 0, lookups = 1;
  auto operator<=>(const TableShape&) const = default;
};

/// Numbers of the switches: messages of staged and direct exchanges and of reductions per stage, use of each slower
/// store. Of the overlapped iteration: exchanges of clean rows, reductions of rows and of the dense parameters apart.
/// Samples that move.
struct Switches {
  int depth;
  int staged(int stage) const { return stage - 1; }
  int direct(int stage) const { return depth + stage - 1; }
  int reduce(int stage) const { return 2 * depth + stage - 1; }
  int clean_staged(int stage) const { return 3 * depth + stage - 1; }
  int clean_direct(int stage) const { return 4 * depth + stage - 1; }
  int copies(int stage) const { return 5 * depth + stage - 1; }
  int dense(int stage) const { return 6 * depth + stage - 1; }
  int samples(int stage) const { return 7 * depth + stage - 1; }
  int store(int index) const { return 8 * depth + index; }
};

/// A row of the time model: seconds of one resource within one step = sum of coefficient * quantity + the constants of
/// the switches that are on (a switch: some class of messages is sent at all).
struct TimeRow {
  int step = 0;                                        ///< index into TimeModel::steps
  std::string resource;                                ///< name
  std::string kind;                                    ///< "bandwidth" | "work"
  double amount_per_second = 1;                        ///< rate: seconds * rate = bytes, for the report
  std::vector<std::pair<int, double>> terms;           ///< (quantity, seconds per unit)
  std::vector<std::pair<int, double>> switch_seconds;  ///< (switch, seconds when on)
  double constant = 0;
  int level = 0;  ///< of the domain whose port or work it is
};

/// Steps that follow one another. The overlapped iteration has two parts: beside compute, then behind the backward
/// pass; the dense chain runs beside `behind`.
enum class Chain : uint8_t { sequential, beside, behind, dense };

struct Step {
  Phase phase{};
  std::string name;
  Chain chain = Chain::sequential;
  bool written = false;  ///< of a slower store: what was updated goes back
};

/// A resource that limits a part of the overlapped iteration: seconds of it there; `whole`: of both parts together.
enum class Window : uint8_t { beside, behind, whole };
struct SharedRow {
  Window window{};
  TimeRow row;
};

struct TimeModel {
  std::vector<Step> steps;
  std::vector<TimeRow> rows;                        ///< of steps
  std::vector<SharedRow> shared;                    ///< of the overlapped iteration
  std::vector<TimeRow> totals;                      ///< of resources over the whole iteration, for reports; step = -1
  std::vector<std::vector<int>> switch_quantities;  ///< a switch is on when one of these is above 0
  double compute_seconds = 0;                       ///< of the slowest rank
  double compute_behind_seconds = 0;                ///< of these, behind the gradients of the bags
  double dense_seconds = 0;                         ///< of the dense chain, with these: no placement changes it
  // Of batches that are read in turn:
  double samples_seconds = 0;    ///< that the busiest link is busy with samples in an iteration; mean over its readers
  std::string samples_resource;  ///< that link
  double shared_seconds = 0;     ///< of assigning that a rank's processor does not compute; mean of ranks that read
  double assign_seconds = 0;     ///< between two batches, when every reader assigns all the time

  /// T where samples move beside an iteration that takes `seconds` without them (placement.hpp, section 8).
  double with_samples(double seconds) const;
};

class CostModel {
 public:
  CostModel(const Topology& topology, const Workload& workload);

  const Tree& tree() const { return tree_; }
  const Workload& workload() const { return *workload_; }
  const Quantities& quantities() const { return quantities_; }
  const Features& features() const { return features_; }
  const TimeModel& time() const { return time_; }
  int tables() const { return static_cast<int>(workload_->tables.size()); }
  const Table& table(int t) const { return workload_->tables[t]; }
  TableShape shape(int t) const;
  /// Of all stores; rows per block (Features::blocks) are those of stores with this granule.
  int64_t largest_granule() const;

  /// Features of class c of table t, for one row: features().size() numbers.
  const double* features_of(int t, size_t c) const {
    return features_of_[t].data() + c * static_cast<size_t>(features_.size());
  }
  /// Whether some class has it above 0.
  bool occurs(int feature) const { return occurs_[feature]; }
  /// Quantities of an empty placement: the all-reduce of the dense parameters.
  const std::vector<double>& base() const { return base_; }
  /// Capacity of a store for rows, after buffers, bytes per instance; < 0 when the buffers alone do not fit.
  double capacity(Site s) const;
  double reserved(Site s) const;
  double batch_of(int d) const { return static_cast<double>(workload_->global_batch) * tree_.batch_share(d); }
  double distinct_rows(int rank) const { return distinct_rows_[rank]; }  ///< expected of its part of the batch
  double lookups_per_sample() const;
  bool has_bags() const;  ///< some table has other than one lookup per sample

 private:
  void find_features(const Table& table, size_t c, int64_t granule, double* values) const;
  void find_assigned(int t, size_t c, double* values) const;
  void find_dense_loads();
  void find_sample_loads();
  void find_distinct_rows();
  void find_reserved();

  Tree tree_;
  const Workload* workload_;
  Quantities quantities_;
  Features features_;
  TimeModel time_;
  std::vector<std::vector<double>> features_of_;
  std::vector<bool> occurs_;
  std::vector<double> base_;
  std::vector<double> reserved_, distinct_rows_;  ///< by rank domain
};

/// The rows of a copy domain that a rank inside it has to do with, by why.
struct Block {
  int depth;
  /// Whose copy is inside the rank's ancestor at `level`: all where that is the level of the copies, the rank's own at
  /// the level of ranks.
  int held(int level) const { return level; }
  /// Whose copy is elsewhere than in its ancestor at `level`, for which the rank asks on behalf of that ancestor.
  int proxied(int level) const { return depth + 1 + level; }
  int count() const { return 2 * depth + 2; }
};

/// What a rank does for one row of a block: coefficient * feature goes to `quantity` of the rank (or of the store that
/// it serves) and to the same flow of every domain above it (Quantities::above). Features beyond Features::size() are
/// pairs(group): vectors per sample.
struct RankTerm {
  int quantity = 0, feature = 0, block = 0;
  double value = 0;
};
/// The terms of a rank of type `rank` in a domain of type `copy_domain`, which has a copy. The only formulas there are:
/// their sums over fair shares are the coefficients below, their sums over the rows that a plan deals to each rank are
/// the cost of the plan.
/// reads_each: slower stores read a row for every lookup that is pooled, not once per iteration as the trainer does.
std::vector<RankTerm> rank_terms(const CostModel& model, const Option& option, Transport transport,
                                 const TableShape& shape, int copy_domain, int rank, bool reads_each = false);

/// How rows of an option really travel: only what has one copy is pooled; nothing else than distinct rows, directly,
/// reaches the samples from copies between.
Transport transport_of(const Option& option, Transport transport);

/// Coefficients of one row of the option where every slot has its fair share. vectors_per_mass: for pooled transports,
/// vectors sent per sample and unit of mass that takes this option (pairs / mass, see pooled_pairs; 1 / mass of partial
/// sums); unused otherwise.
std::vector<Coefficient> coefficients(const CostModel& model, const Option& option, Transport transport,
                                      const TableShape& shape, double vectors_per_mass = 1);

/// Expected (sample, holder) pairs with anything to send, per sample, when rows of probability mass `mass` are spread
/// evenly over `holders` holders and the sample makes `lookups` lookups: holders (1 - (1 - mass / holders)^lookups).
double pooled_pairs(double mass, double holders, double lookups);

/// Ranks over which a pooled option spreads its rows, within one domain of its level (mean over types of that level).
double pooled_holders(const Tree& tree, const Option& option);

/// Quantities of every instance: one number where all are alike, else one for each in tree order.
struct Loads {
  std::vector<std::vector<double>> values;
  double at(int quantity, size_t instance) const {
    const std::vector<double>& own = values[quantity];
    return own.size() == 1 ? own[0] : own[instance];
  }
  size_t instances(int quantity) const { return values[quantity].size(); }
};

/// Whether the map of holders says who holds rows of the option, if it is used at all: rows with one copy, in device
/// memory of ranks that train.
bool held_by_first_use(const CostModel& model, const Option& option);

/// Steps and rows of the time model.
TimeModel make_time_model(const CostModel& model);
/// Everything Cost reports: times are those of the busiest instance of every resource. on: which switches are.
Cost cost_of(const CostModel& model, const Loads& loads, const std::vector<bool>& on);
/// The same where all instances are alike.
Cost cost_of(const CostModel& model, const std::vector<double>& quantities);
std::vector<bool> switches_on(const TimeModel& time, const std::vector<double>& quantities);

}  // namespace sparrow::placement
