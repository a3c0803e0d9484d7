// The first samples of a set of shards, undigested (integers as in the text, missing values apart), for comparing sets.
// Training reads through loader.hpp instead.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/criteo.hpp"

namespace sparrow {

struct RawSamples {
  bool has_integers =
      true;  ///< false from npy, which has no missing integers: integers and missing_integers are then empty
  std::vector<uint8_t> labels;
  std::array<std::vector<int64_t>, kCriteoDense> integers;      ///< 0 where missing
  std::vector<uint16_t> missing_integers;                       ///< bit i: I(i+1) is missing
  std::array<std::vector<uint32_t>, kCriteoTables> categories;  ///< 0 where missing

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
};

/// Reads up to `samples` samples of these shards, in order, and no more of the files than that needs; kinds as in
/// scan_shard (text, gzip,
/// ..._dense.npy), all of one kind. Throws Error ("file:line: ..." for text) for what the loader would refuse too.
RawSamples read_samples(const std::vector<std::string>& files, int64_t samples);

}  // namespace sparrow
