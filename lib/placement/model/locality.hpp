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
  /// Rows of a table whose expected lookups in a global batch (p B h) are about `lookups`.
  struct Bin {
    double lookups = 0;
    std::vector<double> into;      ///< [level - 1], levels 1 .. L of the topology
    std::vector<double> distinct;  ///< [level - 1]
  };
  std::vector<std::vector<Bin>> tables;  ///< by rising lookups; between bins: linear in log(lookups); beyond: the last

  double busiest = 1;             ///< rows asked for by the busiest rank of equal ones, relative to the mean
  double moved_samples = 0;       ///< share of a batch's samples that move from their reader to another rank
  double sample_bytes = 0;        ///< of one sample that moves
  double new_holder_bytes = 0;    ///< of the new holders of a batch, to one rank
  double seconds_per_sample = 0;  ///< of one core, assigning

  bool empty() const { return tables.empty(); }
};

}  // namespace sparrow::placement
