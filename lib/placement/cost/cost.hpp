// What a placement costs: expected bytes, messages, work and time of one iteration. Written once; the optimiser, the
// report and the named strategies all use it. Formulas and notation: placement.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/phase.hpp"
#include "placement/model/topology.hpp"
#include "placement/model/workload.hpp"

namespace sparrow::placement {

/// How the copies of a row are kept equal: gradients of all rows summed whatever is touched, or touched rows with their
/// ids.
enum class Reduction : uint8_t { dense, sparse };

/// One way to place a row: a copy in every domain of `level`, inside it at `sites[i]` for the i-th domain type of that
/// level (Tree::at_level), spread evenly over the instances of that site. level 0: held (reduction is then `sparse`,
/// and irrelevant), L: replicated.
struct Option {
  int level = 0;
  Reduction reduction = Reduction::sparse;
  std::vector<Site> sites;
  bool operator==(const Option&) const = default;
  auto operator<=>(const Option&) const = default;
};

/// How rows of one table travel from their holders.
enum class Transport : uint8_t {
  staged,  ///< deduplicated at every level: one transient copy per domain, at its proxy, fetched and summed there
  direct,  ///< deduplicated per rank only: holder and rank exchange directly
  pooled,  ///< nothing deduplicated: the holder sums the rows of a sample's bag that it holds; one vector per (sample,
           ///< holder) pair with anything to send
  partial_sums,  ///< likewise from every holder, zeros where it has none: the reduce-scatter of row-wise sharding
};
constexpr int kTransports = 4;
const char* transport_name(Transport transport);

/// `rows` rows of class `cls` take option `option` (an index into Placement::options). Fractions are allowed: a linear
/// programme's solution.
struct Share {
  int32_t cls = 0;
  int32_t option = 0;
  double rows = 0;
};

struct TablePlacement {
  Transport transport = Transport::staged;
  std::vector<Share> shares;  ///< sums to the rows of each class
};

/// A member of the family of theory section 3, by classes.
struct Placement {
  std::vector<Option> options;
  std::vector<TablePlacement> tables;
};

/// One step of the iteration that others wait for.
struct StageCost {
  Phase phase{};
  std::string name;  ///< "stage 1 (node)", "gather", "reduce stage 2", ...
  double seconds = 0;
  double latency_seconds = 0;  ///< of these, independent of bytes
  std::string bottleneck;      ///< the resource that took longest
  int level = 0;               ///< of the domain that it belongs to; 0: of a store that several share
  bool written = false;        ///< of a slower store: rows that were updated go back
};

/// A resource over the whole iteration: its busiest instance.
struct ResourceCost {
  std::string name;    ///< "cluster/node nic out", "cluster/node/gpu:hash", "cluster/node:host"
  double amount = 0;   ///< bytes (ids for hash, flop for compute) of one instance
  double seconds = 0;  ///< that it is busy
};

struct StoreCost {
  Site site;
  std::string name;
  double used_bytes = 0;      ///< per instance (mean)
  double reserved_bytes = 0;  ///< buffers and activations
  double capacity_bytes = 0;
  double read_bytes = 0, written_bytes = 0;  ///< per instance and iteration; of slower stores
};

/// Bytes one rank sends per iteration: mean over all ranks, and the busiest rank type.
struct SentBytes {
  double ids = 0, rows = 0, gradients = 0, allreduce = 0, samples = 0;
  double total() const { return ids + rows + gradients + allreduce + samples; }
  void add(const SentBytes& other, double weight) {
    ids += weight * other.ids, rows += weight * other.rows, gradients += weight * other.gradients;
    allreduce += weight * other.allreduce, samples += weight * other.samples;
  }
};

struct Cost {
  double seconds = 0;              ///< T; sequential or overlapped as the workload says
  double even_seconds = 0;         ///< T if what a plan deals to slots were spread evenly over them
  double undisturbed_seconds = 0;  ///< T if no samples moved beside the iteration
  double sequential_seconds = 0;
  double overlapped_seconds = 0;
  double compute_seconds = 0;
  // Of the overlapped iteration: what runs beside the computation up to the gradients of the bags, what runs behind it
  // (they add up to it but for slower stores), and its critical path: that computation, then the longer of the dirty
  // rows and the rest with the dense parameters.
  double beside_seconds = 0, behind_seconds = 0, critical_path_seconds = 0;
  std::array<double, kPhases> seconds_by_phase{};
  std::vector<StageCost> stages;
  std::vector<ResourceCost> resources;
  std::vector<StoreCost> stores;
  SentBytes sent_mean, sent_max;
  std::vector<SentBytes>
      sent_by_stage;              ///< mean over all ranks, of stage 1 .. depth: among the children of the root first
  double messages_mean = 0;       ///< sent by one rank
  double distinct_rows_mean = 0;  ///< sum of q, mean over ranks
  double distinct_rows_max = 0;
  double samples_per_second = 0;
  std::string bottleneck;  ///< the resource of the longest stage (sequential), or the busiest (overlapped)
  std::string infeasible;  ///< empty, or the store that overflows, what is needed and what is there
};

/// Everything about a (topology, workload) pair that costs are made of; makes the class features once. Both must
/// outlive it.
class CostModel;

/// Expected cost of a placement, every slot with its fair share. T is made of maxima of expectations, so it is at most
/// the expected time. What a run of a plan costs: evaluate(model, plan), plan.hpp.
Cost evaluate(const CostModel& model, const Placement& placement);

/// The least bytes any exact synchronous scheme that moves whole rows sends per iteration, all ranks together, for a
/// given assignment of samples to ranks: sum of w (2 sum_r q_r - u - (1 - prod_r (1 - q_r^2)) / u) over rows (theory
/// section 7; where samples are assigned as if they were not).
double floor_bytes(const CostModel& model);

/// touched(p, k) = 1 - (1 - p)^k for k draws, without losing the digits of small p.
double touched(double p, double draws);

}  // namespace sparrow::placement
