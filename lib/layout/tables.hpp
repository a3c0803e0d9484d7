// The embedding tables of a model as one numbered set of rows. A **key** numbers all rows of all tables: key =
// first_key(t) + position.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/error.hpp"

namespace sparrow {

/// Bytes of a key on the wire among so many rows: 4 while all keys fit (true of every published data set), else 8.
constexpr int64_t key_bytes(double rows) {
  return rows <= 0x1p32 ? 4 : 8;
}

class Tables {
 public:
  Tables(std::vector<int64_t> rows, int64_t dim) : rows_(std::move(rows)), dim_(dim), first_key_{0} {
    SPARROW_CHECK(!rows_.empty() && dim_ > 0);
    for (const int64_t n : rows_) {
      SPARROW_CHECK(n > 0, "a table has {} rows", n);
      first_key_.push_back(first_key_.back() + n);
    }
  }

  int count() const { return static_cast<int>(rows_.size()); }
  int64_t dim() const { return dim_; }
  int64_t rows(int table) const { return rows_[table]; }
  const std::vector<int64_t>& rows() const { return rows_; }
  int64_t first_key(int table) const { return first_key_[table]; }
  int64_t total_rows() const { return first_key_.back(); }
  int table_of(int64_t key) const {
    return static_cast<int>(std::upper_bound(first_key_.begin(), first_key_.end(), key) - first_key_.begin()) - 1;
  }

  int64_t key_bytes() const { return sparrow::key_bytes(static_cast<double>(total_rows())); }

  /// Initial values are uniform in (-bound, bound), bound = sqrt(1 / rows) (facebookresearch/dlrm), drawn from the
  /// random stream numbered like the table, by row id and element.
  float initial_bound(int table) const { return static_cast<float>(std::sqrt(1.0 / static_cast<double>(rows(table)))); }

 private:
  std::vector<int64_t> rows_;
  int64_t dim_;
  std::vector<int64_t> first_key_;
};

}  // namespace sparrow
