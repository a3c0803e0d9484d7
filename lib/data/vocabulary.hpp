// From category values to row ids, and from one id to the ids of a bag.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/random.hpp"
#include "data/criteo.hpp"

namespace sparrow {

/// Dense features of a sample; rows and lookups of each table: what the data's values mean.
struct TableShapes {
  std::vector<int64_t> rows;   ///< per table, 1 .. kMaxRows
  std::vector<int> bag_sizes;  ///< lookups per table, >= 1; empty: one each
  int64_t dense_features = kCriteoDense;

  static constexpr int64_t kMaxRows = 2147483647;

  int tables() const { return static_cast<int>(rows.size()); }
  int bag_size(int table) const { return bag_sizes.empty() ? 1 : bag_sizes[table]; }
  int64_t lookups_per_sample() const;
  /// Throws Error naming the table unless there are 26 tables and all numbers are in range.
  void check() const;
};

/// The remainder by a fixed divisor with two multiplications: Lemire, Kaser and Kurz, "Faster remainder by direct
/// computation", Software: Practice and Experience 2019.
class Modulo {
 public:
  explicit Modulo(uint32_t divisor) : divisor_(divisor), inverse_(~uint64_t{0} / divisor + 1) {}
  uint32_t operator()(uint32_t value) const {
    __extension__ using Wide = unsigned __int128;
    return static_cast<uint32_t>(static_cast<Wide>(inverse_ * value) * divisor_ >> 64);
  }

 private:
  uint64_t divisor_, inverse_;
};

/// Lookup j >= 1 of the bag that `id` of `table` stands for: uniform over the table's rows and a pure function of its
/// arguments, as a fixed lookup table per id is (lookup 0 is the id itself). The rule of MLPerf DLRM-DCNv2's synthetic
/// multi-hot data.
inline int64_t bag_id(int table, int64_t id, int j, int64_t rows) {
  const uint64_t stream = mix64(static_cast<uint64_t>(table) << 32 | static_cast<uint32_t>(j));
  const uint64_t hash = mix64(stream ^ static_cast<uint64_t>(id));
  __extension__ using Wide = unsigned __int128;
  return static_cast<int64_t>(static_cast<Wide>(hash) * static_cast<uint64_t>(rows) >> 64);
}

}  // namespace sparrow
