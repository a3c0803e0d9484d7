// The cost model as linear forms. For a pair (topology, workload) it knows
//   features      of a class: 1, v(a), u v(a) and (1 - u) v(a) for every domain type a, and p of every access group: all
//                 that loads depend on;
//   quantities    of an iteration: bytes of each flow (stage, domain, direction), work of each rank type, bytes moved and
//                 kept by each store;
//   coefficients  with which one row of an option, of given features, adds to each quantity (loads.cpp);
//   time rows     that turn quantities into seconds of a resource in a step, and how steps combine to T (timing.cpp).
// evaluate() sums features over rows and reads off T; the optimiser hands the same coefficients to a linear programme.
#pragma once

#include <map>
#include <tuple>
#include <vector>

#include "base/packing.hpp"
#include "placement/cost/cost.hpp"

namespace sparrow::placement {

/// What is exchanged. Of the overlapped iteration, by when it can move: dirty is what waits for the backward pass (rows
/// that this batch updates and the next one needs, and all that is copied or pooled), clean and late is what moves
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
  late_gradients,
  clean_direct_rows,
  late_direct_gradients,
  dense_up,
  dense_down,  // of the dense parameters
};
constexpr int kFlows = 20;
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
  int late_update(int rank) const { return work(rank, 6); }
  int dense_update(int rank) const { return work(rank, 7); }  ///< dense parameters
  int listed(int rank) const { return work(rank, 8); }  ///< ids, not bytes: listed for other ranks, or come from them
  int memory(Site s) const { return sites_[s.domain] + 3 * s.store; }           ///< bytes kept
  int store_read(Site s) const { return sites_[s.domain] + 3 * s.store + 1; }   ///< bytes read before the forward pass
  int store_write(Site s) const { return sites_[s.domain] + 3 * s.store + 2; }  ///< bytes moved by the update

 private:
  static constexpr int kWork = 9;
  int work(int rank, int kind) const { return work_[rank] + kind; }

  int size_ = 0;
  std::vector<std::vector<std::vector<int>>> flow_;
  std::vector<int> work_, sites_;
};

/// Numbering of the features of a class.
struct Features {
  int domains = 0, groups = 1;
  bool packed = false;  ///< some slower store moves blocks of several rows
  int size() const { return 1 + (packed ? 4 : 3) * domains + groups; }
  static constexpr int one() { return 0; }
  static constexpr int v(int a) { return 1 + a; }         ///< touched by a in an iteration
  int dirty(int a) const { return 1 + domains + a; }      ///< u v(a): touched by anyone now and by a in the next
  int clean(int a) const { return 1 + 2 * domains + a; }  ///< (1 - u) v(a): by nobody now and by a in the next
  int p(int group) const { return 1 + 3 * domains + group; }
  /// Blocks of the row's store that a touches in an iteration, per row of them; only if packed.
  int blocks(int a) const { return 1 + 3 * domains + groups + a; }
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
struct Switches {
  int depth;
  int staged(int stage) const { return stage - 1; }
  int direct(int stage) const { return depth + stage - 1; }
  int reduce(int stage) const { return 2 * depth + stage - 1; }
  int clean_staged(int stage) const { return 3 * depth + stage - 1; }
  int clean_direct(int stage) const { return 4 * depth + stage - 1; }
  int copies(int stage) const { return 5 * depth + stage - 1; }
  int dense(int stage) const { return 6 * depth + stage - 1; }
  int store(int index) const { return 7 * depth + index; }
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

/// Where steps follow one another. The overlapped iteration has two parts: beside compute, then behind the backward
/// pass; the dense lane runs beside `behind`.
enum class Lane : uint8_t { sequential, beside, behind, dense };

struct Step {
  Phase phase{};
  std::string name;
  Lane lane = Lane::sequential;
};

/// A resource that limits a part of the overlapped iteration: seconds of it there; `whole`: of both parts together.
enum class Part : uint8_t { beside, behind, whole };
struct SharedRow {
  Part part{};
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
  double dense_seconds = 0;                         ///< of the dense lane, with these: no placement changes it
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
  double lookups_per_sample() const;

 private:
  Tree tree_;
  const Workload* workload_;
  Quantities quantities_;
  Features features_;
  TimeModel time_;
  std::vector<std::vector<double>> features_of_;
  std::vector<bool> occurs_;
  std::vector<double> base_;
  std::vector<double> reserved_;  ///< by rank domain
};

/// Coefficients of one row of the option. pooled_factor: for Transport::pooled, vectors sent per sample and unit of
/// mass that takes this option (pairs / mass, see pooled_pairs); unused otherwise.
std::vector<Coefficient> coefficients(const CostModel& model, const Option& option, Transport transport,
                                      const TableShape& shape, double pooled_factor = 1);

/// Expected (sample, holder) pairs with anything to send, per sample, when rows of probability mass `mass` are spread
/// evenly over `holders` holders and the sample makes `lookups` lookups: holders (1 - (1 - mass / holders)^lookups).
double pooled_pairs(double mass, double holders, double lookups);

/// Ranks over which a pooled option spreads its rows, within one domain of its level (mean over types of that level).
double pooled_holders(const Tree& tree, const Option& option);

/// Direct, undeduplicated traffic of the baselines, in whole bytes: each rank type e asks for request_bytes[e] in ids
/// and receives vector_bytes[e] (and sends as much back), from holders spread over ranks with the shares `holder_share`
/// (of one instance, by rank domain).
void add_direct(const CostModel& model, const std::vector<double>& holder_share, const std::vector<double>& id_bytes,
                const std::vector<double>& vector_bytes, std::vector<double>& quantities);
/// Reduce-scatter of partial sums of every sample's vectors of `bytes_per_sample`, staged, and the all-gather of their
/// gradients.
void add_partial_sums(const CostModel& model, double bytes_per_sample, std::vector<double>& quantities);

/// Steps and rows of the time model.
TimeModel make_time_model(const CostModel& model);
/// Everything Cost reports, from quantities.
Cost cost_of(const CostModel& model, const std::vector<double>& quantities);

/// P(holder in one instance of x | x lies in the copy domain D), for a copy of D spread over the instances of a site
/// inside D.
double holder_share(const Tree& tree, Site site, int copy_domain, int x);

}  // namespace sparrow::placement
