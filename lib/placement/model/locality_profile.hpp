// Measured locality as it is kept: what assigning samples did on some systems and batches, and what of it is expected
// on another one. What profile files hold (config/locality_file.hpp); plain data and arithmetic.
//
// A row that is looked up in a global batch enters, where samples come to ranks by chance, on average
//     e = sum over the domains a of a level of v(a) (1 - sigma(a)) / u
// of them, and is looked up in sum of v(a) / u (placement.hpp, sections 1 and 3). What assigned samples do is kept as a
// factor on these, apart for rows that some rank holds already and rows that nobody held before the batch, which are
// held where they are used:
//
//     factor in a run of K batches = f new + (1 - f) held,   f = (1 - (1 - u)^K) / (K u)
//
// f: the share of a row's uses that are its first, u = 1 - exp(-lookups) the probability that a batch uses it. A short
// run's rows are mostly new, a long one's are held. Where probabilities are counts of the run's own data every row that
// has one is used: f = 1 / (K u), at most 1. Where the run is no longer than what was measured, f is what was counted.
//
// Factors depend on the expected lookups of a row in a global batch (bins), on the domains that share a parent, and on
// the batch: of more samples those that belong together can be found. (8 ranks, rows looked up once in 16 batches:
// 0.29, 0.24, 0.16 of what chance would move with 512, 1024, 4096 samples on each.) A level of a tree is like a level of
// any other tree in which as many domains share a batch: the first level of 2 nodes of 8 ranks is like 2 ranks. Between
// what was measured: linear in the logarithm of the number of domains and of the batch. Beyond: the nearest, and said.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "placement/model/locality.hpp"
#include "placement/model/topology.hpp"
#include "placement/model/workload.hpp"

namespace sparrow::placement {

struct LocalityMeasurement {
  /// Factors [level - 1], levels 1 .. depth of the system that was measured.
  struct Factors {
    std::vector<double> into, distinct;
  };
  struct Bin {
    double lookups = 0;    ///< p B h, geometric mean over the uses
    double uses = 0;       ///< rows of these, each once per batch that looked it up: what the factors are taken from
    double new_share = 0;  ///< of these uses, by rows that nobody held before
    Factors of_held, of_new;
  };

  std::vector<int64_t> domains;  ///< [level - 1], of levels 1 .. depth: {8} flat, {2, 16}: 2 nodes of 8 ranks
  int64_t global_batch = 0;
  int delay = 1, passes = 1;               ///< of the assignment
  bool first_use = true;                   ///< holders; else by arithmetic
  bool generated = false;                  ///< of rows that are not real
  int64_t batches = 0, first_counted = 0;  ///< simulated; those before are not in the numbers below
  std::vector<std::vector<Bin>> tables;    ///< by rising lookups

  double busiest = 1;             ///< as in Locality
  double new_row_bytes = 0;       ///< of the list of new holders, of one row
  double seconds_per_sample = 0;  ///< of one core: from positions to ranks and new holders

  int depth() const { return static_cast<int>(domains.size()); }
};

struct LocalityProfile {
  std::string data;  ///< what was measured, for people
  std::vector<LocalityMeasurement> measurements;

  int tables() const { return measurements.empty() ? 0 : static_cast<int>(measurements.front().tables.size()); }
};

/// What a measurement is asked for.
struct LocalityQuestion {
  double batches = 0;          ///< of the run; 0: it never ends
  bool counted = false;        ///< probabilities are counts of all of the run's data
  double dense_features = 13;  ///< of a sample
};

struct LocalityAnswer {
  Locality locality;
  std::vector<std::string> notes;  ///< what lies beyond the measurements
};

/// The locality of a workload on a system. Empty where nothing can be assigned: one rank. Throws Error where the profile
/// is of another number of tables, or empty.
LocalityAnswer locality_for(const LocalityProfile& profile, const Topology& topology, const Workload& workload,
                            const LocalityQuestion& question = {});

/// Share of a row's uses in K batches that are its first: 1 where K is 1, 0 for a run without end (0). counted: it is
/// known to be used.
double new_share(double lookups, double batches, bool counted = false);

/// Bytes of a sample on its way: label, dense values, and of every lookup the fewest bytes that hold a position.
double sample_bytes(const Workload& workload, double dense_features);

}  // namespace sparrow::placement
