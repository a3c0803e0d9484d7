// What assigning samples to the ranks that hold their rows (lib/assign) does to the rows that move, as numbers measured
// by running the assigner on samples: for rows of like use, how many enter a domain and how many a domain's ranks look
// up, relative to what the same rows would do if samples came to ranks by chance.
//
// With samples by chance a held row enters domain a with probability v(a) (1 - sigma(a)) (placement.hpp, section 3), and
// is looked up in it with v(a). Assigned, these are multiplied by into and distinct of its bin: 1 for rows that every
// rank looks up anyway, about 0.1 to 0.3 for rows used once or twice in a batch.
#pragma once

#include <vector>

namespace sparrow::placement {

struct Locality {
  bool local = false;      ///< samples are assigned; false: contiguous parts of batches
  bool first_use = false;  ///< holders are those by which it was measured: a map by first use; false: arithmetic
  int passes = 4;          ///< of refinement, with which it was measured

  /// Rows of a table whose expected lookups in a global batch (p B h) are about `lookups`.
  struct Bin {
    double lookups = 0;
    std::vector<double> into;      ///< [level - 1], levels 1 .. L of the topology
    std::vector<double> distinct;  ///< [level - 1]
  };
  /// By rising lookups; between bins: linear in log(lookups); beyond the ends: the last. No bins: nothing is known of
  /// the table, 1. No tables: of none.
  std::vector<std::vector<Bin>> tables;

  double busiest = 1;             ///< most rows that one of equal ranks sends, or asks for, relative to the mean
  double sample_bytes = 0;        ///< of one sample that moves
  double new_holder_bytes = 0;    ///< of the new holders of a batch, to one rank
  double seconds_per_sample = 0;  ///< of one core, assigning
  int threads = 1;                ///< cores of a reader that assign its batch
  bool on_own_cores = false;      ///< cores that do not compute; false: assigning takes their time

  /// Whether batches are read in turn, so that samples move.
  bool in_turn() const { return local || first_use; }
  /// From the rows of a batch of so many samples to their ranks.
  double assigning_seconds(double samples) const { return seconds_per_sample * samples / threads; }
  /// Of one of this table's rows: a bin of its own, as interpolated.
  Bin at(int table, double lookups, int levels) const;
};

/// Throws Error for factors that are no numbers from 0 on, bins out of order or of other than `levels` levels, or bins
/// for other than `tables` tables.
void validate(const Locality& locality, int tables, int levels);

}  // namespace sparrow::placement
