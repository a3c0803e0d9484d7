// Lists of distinct rows, and how they are made from keys: the pieces that routes are made of.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "comm/item_exchange.hpp"
#include "exchange/exchange_bounds.hpp"
#include "exchange/scratch.hpp"

namespace sparrow {

/// Distinct rows that one rank deals with at one level; a *row* is an index in it. First those whose copy is here, in
/// device memory and then in the slower store, then those it asks other ranks for, by rank. Each row stands for one or
/// more *requests*: of this rank's own lookups, or of other ranks.
struct RowList {
  explicit RowList(Backend& backend);
  int64_t count = 0;
  int64_t here = 0;    ///< the first this many have their copy at this rank
  int64_t device = 0;  ///< of these, the first this many have it in device memory
  int64_t requests = 0;
  Scratch<int64_t> keys;             ///< [count], on the host alone
  Mirrored<int64_t> slots;           ///< [here], of the directory; of rows in the slower store: of OffloadedRoute::rows
  Mirrored<int32_t> row_of_request;  ///< [requests]
  Groups groups;                     ///< requests by row, in device memory
  Mirrored<int32_t> group_offsets, group_items;
  Mirrored<const float*> addresses;  ///< [count], where the values are once fetched
  Scratch<float> gradients;          ///< (count, dim)

  /// Requests and groups to the device.
  void upload(Stream& stream);

  /// Takes the device memory that any batch within the bounds needs, but for gradients.
  void reserve(const ListBounds& bounds) {
    slots.reserve_exactly(bounds.here);
    row_of_request.reserve_exactly(bounds.requests);
    group_offsets.reserve_exactly(bounds.count + 1);
    group_items.reserve_exactly(bounds.requests);
    addresses.reserve_exactly(bounds.count);
  }
};

/// Fills row lists, on the host. Keeps scratch memory between calls.
class RowListMaker {
 public:
  /// host: a backend of host memory. tables: most segments of a list's keys.
  RowListMaker(Backend& host, int tables);

  /// Where a row is: here, in device memory or the slower store, or a peer of the stage is asked for it.
  static constexpr int32_t kDevice = -2, kOffloaded = -1;

  /// Fills all of the list but slots and addresses, from the keys of its requests in segments (see Backend::distinct),
  /// and sets how many rows each peer is asked for. destination(key): kDevice, kOffloaded or a peer. asked null:
  /// everything is here.
  template <class F>
  void make(const int64_t* keys, std::span<const int64_t> segments, const F& destination, ItemsByRank* asked,
            RowList& list) {
    const std::span<const int64_t> distinct = find_distinct(keys, segments, list);
    int32_t* of_row = destinations(list.count);
    for (size_t i = 0; i < distinct.size(); ++i) of_row[i] = destination(distinct[i]);
    arrange(list, asked);
  }
  /// The same where all rows are here in device memory.
  void make_here(const int64_t* keys, std::span<const int64_t> segments, RowList& list);

  /// For n items, to be filled before order().
  int32_t* destinations(int64_t n) { return destination_.reserve(n); }
  struct Order {
    int64_t device, here;  ///< as in RowList
    const int32_t* items;  ///< numbers of the items by destination, ascending within one; valid until the next call
  };
  /// Orders n items by destination; asked as in make().
  Order order(int64_t n, ItemsByRank* asked);

 private:
  std::span<const int64_t> find_distinct(const int64_t* keys, std::span<const int64_t> segments, RowList& list);
  void arrange(RowList& list, ItemsByRank* asked);
  void group_requests(RowList& list);

  Backend& host_;
  std::unique_ptr<Stream> stream_;  ///< of host_
  std::vector<int64_t> distinct_segments_;
  Scratch<int64_t> distinct_keys_;
  Scratch<int32_t> destination_, order_, order_offsets_, row_of_distinct_;
};

}  // namespace sparrow
