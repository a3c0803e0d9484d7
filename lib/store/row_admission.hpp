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

  /// This rank holds these mapped rows from here on, where they still are mapped, and has none of them so far but those
  /// that it was given before. Queues their initial values on `stream`.
  void admit(Stream& stream, std::span<const int64_t> keys) {
    if (keys.empty()) return;
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
