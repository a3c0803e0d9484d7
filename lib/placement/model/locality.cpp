#include "placement/model/locality.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"

namespace sparrow::placement {

Locality::Bin Locality::at(int table, double lookups, int levels) const {
  const Bin none{lookups, std::vector<double>(levels, 1), std::vector<double>(levels, 1)};
  if (tables.empty() || tables[table].empty()) return none;
  const std::vector<Bin>& bins = tables[table];
  const auto above =
      std::partition_point(bins.begin(), bins.end(), [&](const Bin& bin) { return bin.lookups <= lookups; });
  if (above == bins.begin()) return bins.front();
  if (above == bins.end()) return bins.back();
  const Bin &high = *above, &low = *(above - 1);
  const double share = std::log(lookups / low.lookups) / std::log(high.lookups / low.lookups);
  Bin between = none;
  for (int l = 0; l < levels; ++l) {
    between.into[l] = low.into[l] + share * (high.into[l] - low.into[l]);
    between.distinct[l] = low.distinct[l] + share * (high.distinct[l] - low.distinct[l]);
  }
  return between;
}

void validate(const Locality& locality, int tables, int levels) {
  if (!locality.tables.empty() && std::ssize(locality.tables) != tables)
    fail("locality: measured for {} tables of {}", locality.tables.size(), tables);
  const auto number = [](double value) { return value >= 0 && !std::isinf(value); };
  for (size_t t = 0; t < locality.tables.size(); ++t) {
    double before = 0;
    for (const Locality::Bin& bin : locality.tables[t]) {
      if (!number(bin.lookups) || bin.lookups <= before)
        fail("locality: table {}, a bin of {} lookups after one of {}", t, bin.lookups, before);
      before = bin.lookups;
      if (std::ssize(bin.into) != levels || std::ssize(bin.distinct) != levels)
        fail("locality: table {}, {} and {} levels for a topology of {}", t, bin.into.size(), bin.distinct.size(),
             levels);
      if (!std::all_of(bin.into.begin(), bin.into.end(), number) ||
          !std::all_of(bin.distinct.begin(), bin.distinct.end(), number))
        fail("locality: table {}, a factor that is no number from 0 on", t);
    }
  }
  if (locality.threads < 1) fail("locality: {} threads", locality.threads);
  for (double value :
       {locality.sample_bytes, locality.new_holder_bytes, locality.seconds_per_sample, locality.busiest - 1})
    if (!number(value)) fail("locality: a size of {}", value);
}

}  // namespace sparrow::placement
