#include "exchange/row_list.hpp"

#include <algorithm>
#include <limits>

#include "base/error.hpp"

namespace sparrow {

RowList::RowList(Backend& backend)
    : keys(backend, Memory::host),
      slots(backend),
      row_of_request(backend),
      group_offsets(backend),
      group_items(backend),
      addresses(backend),
      gradients(backend, Memory::device) {}

void RowList::upload(Stream& stream) {
  row_of_request.upload(stream, requests);
  group_offsets.upload(stream, count + 1);
  group_items.upload(stream, requests);
}

RowListMaker::RowListMaker(Backend& host, int tables)
    : host_(host),
      stream_(host.make_stream()),
      distinct_segments_(static_cast<size_t>(std::max(tables, 1)) + 1),
      distinct_keys_(host, Memory::host),
      destination_(host, Memory::host),
      order_(host, Memory::host),
      order_offsets_(host, Memory::host),
      row_of_distinct_(host, Memory::host) {}

/// Sets list.count, requests and row_of_request, still in the order of the distinct keys, which are returned.
std::span<const int64_t> RowListMaker::find_distinct(const int64_t* keys, std::span<const int64_t> segments,
                                                     RowList& list) {
  list.requests = segments.back();
  SPARROW_CHECK(list.requests <= std::numeric_limits<int32_t>::max(), "{} rows asked for in one batch", list.requests);
  int64_t* result = distinct_keys_.reserve(list.requests);
  host_.distinct(*stream_, keys, segments, result, distinct_segments_.data(),
                 list.row_of_request.reserve(list.requests));
  host_.synchronize(*stream_);
  list.count = distinct_segments_[segments.size() - 1];
  return {result, static_cast<size_t>(list.count)};
}

RowListMaker::Order RowListMaker::order(int64_t n, ItemsByRank* asked) {
  constexpr int64_t kHere = 2;  // groups before those of the peers
  const int64_t peers = asked ? static_cast<int64_t>(asked->count.size()) : 0;
  int32_t* group = destination_.data();
  for (int64_t i = 0; i < n; ++i) group[i] += kHere;  // kDevice becomes group 0
  int32_t* offsets = order_offsets_.reserve(peers + kHere + 1);
  int32_t* order = order_.reserve(n);
  host_.group(*stream_, group, n, peers + kHere, offsets, order);
  host_.synchronize(*stream_);
  for (int64_t p = 0; p < peers; ++p) asked->count[p] = offsets[p + kHere + 1] - offsets[p + kHere];
  if (asked) asked->sum_up();
  return {offsets[1], offsets[kHere], order};
}

void RowListMaker::arrange(RowList& list, ItemsByRank* asked) {
  const Order by_destination = order(list.count, asked);
  list.device = by_destination.device;
  list.here = by_destination.here;
  const int64_t* distinct_keys = distinct_keys_.data();
  int64_t* keys = list.keys.reserve(list.count);
  int32_t* row_of_distinct = row_of_distinct_.reserve(list.count);
  for (int64_t row = 0; row < list.count; ++row) {
    const int32_t distinct = by_destination.items[row];
    keys[row] = distinct_keys[distinct];
    row_of_distinct[distinct] = static_cast<int32_t>(row);
  }
  int32_t* row_of_request = list.row_of_request.data();
  for (int64_t i = 0; i < list.requests; ++i) row_of_request[i] = row_of_distinct[row_of_request[i]];
  group_requests(list);
}

void RowListMaker::make_here(const int64_t* keys, std::span<const int64_t> segments, RowList& list) {
  const std::span<const int64_t> distinct = find_distinct(keys, segments, list);
  list.here = list.device = list.count;
  std::copy(distinct.begin(), distinct.end(), list.keys.reserve(list.count));
  group_requests(list);
}

void RowListMaker::group_requests(RowList& list) {
  int32_t* group_offsets = list.group_offsets.reserve(list.count + 1);
  int32_t* group_items = list.group_items.reserve(list.requests);
  list.groups = {list.count, list.requests, list.group_offsets.device(), list.group_items.device()};
  host_.group(*stream_, list.row_of_request.data(), list.requests, list.count, group_offsets, group_items);
  host_.synchronize(*stream_);
}

}  // namespace sparrow
