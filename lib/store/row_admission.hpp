// Rows that come to a rank while it trains: they get slots, and their initial values.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "layout/directory.hpp"
#include "store/store.hpp"

namespace sparrow {

class RowAdmission {
 public:
  /// Both must outlive it.
  RowAdmission(Directory& directory, Store& store) : directory_(directory), store_(store) {}

  /// Mapped rows that the map says are here, and that have no slot yet, get one. Queues their initial values on `stream`.
  void admit(Stream& stream, std::span<const int64_t> keys) {
    const HolderMap& map = *directory_.holder_map();
    for (const int64_t key : keys)
      SPARROW_CHECK(map.holder(key) == directory_.rank(), "rank {} is to train row {}, which is held by {}",
                    directory_.rank(), key, map.holder(key));
    admitted_.clear();
    slots_.clear();
    directory_.admit(keys, admitted_, slots_);
    store_.fill(stream, admitted_, slots_);
  }

  /// Queues the initial values of guests: of rows in slots first_guest(), first_guest() + 1, ...
  void fill_guests(Stream& stream, std::span<const int64_t> keys) {
    slots_.clear();
    for (size_t i = 0; i < keys.size(); ++i) slots_.push_back(directory_.first_guest() + static_cast<int64_t>(i));
    store_.fill(stream, keys, slots_);
  }

 private:
  Directory& directory_;
  Store& store_;
  std::vector<int64_t> admitted_, slots_;  ///< of one call
};

}  // namespace sparrow
