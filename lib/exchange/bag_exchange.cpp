#include "exchange/bag_exchange.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/error.hpp"

namespace sparrow {

BagRoute::BagRoute(Backend& backend, int ranks)
    : parts(ranks),
      bag_of_part(backend),
      vectors(backend, Memory::device),
      part_offsets(backend),
      slots(backend),
      rows(backend) {}

BagExchange::BagExchange(const RankContext& context, const Directory& directory, const StageComms& comms,
                         const RowStore& store, DType wire)
    : backend_(context.backend),
      directory_(directory),
      host_comm_(comms.host(0)),
      device_comm_(comms.device(0)),
      store_(store),
      wire_(wire),
      maker_(context.host, directory.tables().key_bytes(), 1),
      row_maker_(context.host, directory.tables().key_bytes(), 1),
      keys_(host_comm_.size()),
      by_holder_(host_comm_.size()),
      one_(by_holder_.size(), 1),
      places_(by_holder_.size()),
      row_keys_(context.host, Memory::host),
      part_of_lookup_(context.host, Memory::host),
      sums_(backend_, Memory::device),
      packed_(backend_, Memory::device),
      addresses_(backend_, Memory::device),
      send_(backend_, Memory::device),
      recv_(backend_, Memory::device) {
  SPARROW_CHECK(store.slots < std::numeric_limits<int32_t>::max(), "{} rows on one rank are too many to pool",
                store.slots);
  std::iota(places_.begin(), places_.end(), 0);
}

void BagExchange::reserve(const ExchangeBounds& bounds) {
  const ExchangeBounds::Pooled& pooled = bounds.pooled;
  if (!pooled.any) return;
  const int64_t block = std::max(pooled.asked, pooled.requested) * bounds.row_bytes;
  sums_.reserve_exactly(pooled.requested * bounds.dim);
  if (bounds.with_offloaded) packed_.reserve_exactly(pooled.rows.count * bounds.dim);
  addresses_.reserve_exactly(bounds.bags);
  send_.reserve_exactly(block);
  recv_.reserve_exactly(block);
}

/// Parts of this rank's bags by holder, with the number of lookups in each.
void BagExchange::order_parts(std::span<const Lookup> lookups, const std::vector<char>& bag_is_partial,
                              BagRoute& route) {
  for (auto& list : by_holder_) list.clear();
  for (const Lookup& lookup : lookups) by_holder_[directory_.holder(lookup.key)].push_back(lookup);
  send_keys_.clear();
  lengths_.clear();
  const auto bags = static_cast<int32_t>(bag_is_partial.size());
  int32_t* bag_of_part = route.bag_of_part.reserve(static_cast<int64_t>(by_holder_.size()) * bags);
  int64_t parts = 0;
  for (size_t holder = 0; holder < by_holder_.size(); ++holder) {
    const std::vector<Lookup>& list = by_holder_[holder];
    const int64_t before = parts;
    size_t at = 0;
    for (int32_t bag = 0; bag < bags; ++bag) {
      size_t length = 0;
      for (; at < list.size() && list[at].bag == bag; ++at, ++length) send_keys_.push_back(list[at].key);
      if (length == 0 && !bag_is_partial[bag]) continue;
      SPARROW_CHECK(length <= std::numeric_limits<uint8_t>::max(), "{} lookups of one bag at one holder", length);
      lengths_.push_back(static_cast<uint8_t>(length));
      bag_of_part[parts++] = bag;
    }
    SPARROW_CHECK(at == list.size());
    route.parts.asked[holder] = parts - before;
    keys_.asked[holder] = static_cast<int64_t>(list.size());
  }
  route.parts.sum_asked();
  keys_.sum_asked();
}

/// Number and lengths of the parts the others have here.
void BagExchange::exchange_lengths(BagRoute& route) {
  host_comm_.wait(transfer_.post(nullptr, host_comm_, Phase::ids, route.parts.asked.data(), one_, places_,
                                 route.parts.requested.data(), one_, places_, 8, true));
  for (const int64_t n : route.parts.requested)
    SPARROW_CHECK(n >= 0 && n <= std::numeric_limits<int32_t>::max(), "asked for {} parts", n);
  route.parts.sum_requested();
  peer_lengths_.resize(route.parts.requested_total);
  host_comm_.wait(transfer_.post(nullptr, host_comm_, Phase::ids, lengths_.data(), route.parts.asked,
                                 route.parts.asked_offsets, peer_lengths_.data(), route.parts.requested,
                                 route.parts.requested_offsets, 1, true));
}

void BagExchange::build(Stream& stream, std::span<const Lookup> lookups, bool single_lookups,
                        const std::vector<char>& bag_is_partial, BagRoute& route) {
  order_parts(lookups, bag_is_partial, route);
  if (!single_lookups) exchange_lengths(route);
  const auto keys =
      maker_.exchange_keys(host_comm_, Phase::ids, send_keys_.data(), directory_.tables().total_rows(), keys_);
  route.lookups = static_cast<int64_t>(keys.size());
  if (single_lookups) {  // a part per key: lengths need not be sent
    route.parts.requested = keys_.requested;
    route.parts.sum_requested();
    peer_lengths_.assign(keys.size(), 1);
  }

  int32_t* offsets = route.part_offsets.reserve(route.parts.requested_total + 1);
  int64_t sum = 0;
  for (int64_t part = 0; part < route.parts.requested_total; ++part) {
    offsets[part] = static_cast<int32_t>(sum);
    sum += peer_lengths_[part];
  }
  offsets[route.parts.requested_total] = static_cast<int32_t>(sum);
  SPARROW_CHECK(sum == route.lookups, "ranks announced {} lookups and sent {}", sum, route.lookups);
  find_rows(route, keys);
  int32_t* part_of_lookup = part_of_lookup_.reserve(route.lookups);
  for (int64_t part = 0; part < route.parts.requested_total; ++part)
    std::fill(part_of_lookup + offsets[part], part_of_lookup + offsets[part + 1], static_cast<int32_t>(part));
  int32_t* items = route.rows.group_items.data();
  for (int64_t i = 0; i < route.lookups; ++i) items[i] = part_of_lookup[items[i]];

  route.bag_of_part.upload(stream, route.parts.asked_total);
  route.part_offsets.upload(stream, route.parts.requested_total + 1);
  route.slots.upload(stream, route.lookups);
  route.rows.upload(stream);
}

/// The distinct rows of the lookups that came in, and where each lookup finds its row.
void BagExchange::find_rows(BagRoute& route, std::span<const int64_t> keys) {
  const bool in_device = directory_.offloaded_slots() == 0;
  int32_t* slots = route.slots.reserve(route.lookups);
  int64_t* row_keys = row_keys_.reserve(route.lookups);
  std::copy(keys.begin(), keys.end(), row_keys);
  const int64_t segments[] = {0, route.lookups};
  const std::span<const int64_t> distinct = row_maker_.distinct(row_keys, segments, route.rows);
  if (in_device) {
    row_maker_.arrange_here(route.rows);
  } else {
    const std::span<int32_t> destinations = row_maker_.destinations(route.rows.count);
    for (size_t i = 0; i < distinct.size(); ++i)
      destinations[i] = directory_.offloaded(distinct[i]) ? RowListMaker::kOffloaded : RowListMaker::kDevice;
    row_maker_.arrange(route.rows, nullptr);
  }
  int64_t* row_slots = route.rows.slots.reserve(route.rows.count);
  for (int64_t i = 0; i < route.rows.count; ++i) row_slots[i] = directory_.slot(route.rows.keys.data()[i]);
  const int32_t* row_of = route.rows.row_of_member.data();
  for (int64_t i = 0; i < route.lookups && in_device; ++i) slots[i] = static_cast<int32_t>(row_slots[row_of[i]]);
  route.rows_by_part = {route.parts.requested_total, route.lookups, route.part_offsets.device(),
                        in_device ? route.slots.device() : route.rows.row_of_member.device()};
}

/// The rows that are pooled, from both stores, in one block.
Matrix BagExchange::pack(Stream& stream, BagRoute& route, const RowStore& offloaded) {
  RowList& rows = route.rows;
  const float** addresses = rows.addresses.reserve(rows.count);
  const int64_t* slots = rows.slots.data();
  for (int64_t i = 0; i < rows.device; ++i) addresses[i] = store_.values + slots[i] * store_.dim;
  for (int64_t i = rows.device; i < rows.count; ++i) addresses[i] = offloaded.values + slots[i] * store_.dim;
  rows.addresses.upload(stream, rows.count);
  const Matrix packed = Matrix::f32(packed_.reserve(rows.count * store_.dim), rows.count, store_.dim);
  backend_.pack_rows(stream, rows.addresses.device(), nullptr, rows.count, packed);
  return packed;
}

void BagExchange::fetch(Stream& stream, BagRoute& route, const RowStore& offloaded) {
  const int64_t dim = store_.dim, row_bytes = dim * size_of(wire_), asked = route.parts.asked_total;
  const int64_t requested = route.parts.requested_total;
  const Matrix rows = directory_.offloaded_slots() == 0 ? Matrix::f32(store_.values, store_.slots, dim)  //
                                                        : pack(stream, route, offloaded);
  const bool converted = wire_ != DType::f32;
  const Matrix sums = Matrix::f32(sums_.reserve(requested * dim), requested, dim);
  const Matrix vectors = Matrix::f32(route.vectors.reserve(asked * dim), asked, dim);
  void* send = converted ? send_.reserve(requested * row_bytes) : sums.data;
  void* recv = converted ? recv_.reserve(asked * row_bytes) : vectors.data;
  backend_.sum_rows(stream, route.rows_by_part, rows, sums);
  if (converted) backend_.convert(stream, sums, Matrix::of(wire_, send, requested, dim));
  device_comm_.wait(transfer_.post(&stream, device_comm_, Phase::rows, send, route.parts.requested,
                                   route.parts.requested_offsets, recv, route.parts.asked, route.parts.asked_offsets,
                                   row_bytes, true));
  if (converted) backend_.convert(stream, Matrix::of(wire_, recv, asked, dim), vectors);
}

void BagExchange::return_gradients(Stream& stream, BagRoute& route, const Matrix& bag_gradients) {
  const int64_t dim = store_.dim, row_bytes = dim * size_of(wire_), asked = route.parts.asked_total;
  const int64_t requested = route.parts.requested_total;
  const float** addresses = addresses_.reserve(bag_gradients.rows);
  backend_.address_rows(stream, bag_gradients.f32(), nullptr, bag_gradients.rows, dim, addresses);
  void* send = send_.reserve(asked * row_bytes);
  void* recv = recv_.reserve(requested * row_bytes);
  backend_.pack_rows(stream, addresses, route.bag_of_part.device(), asked, Matrix::of(wire_, send, asked, dim));
  device_comm_.wait(transfer_.post(&stream, device_comm_, Phase::gradients, send, route.parts.asked,
                                   route.parts.asked_offsets, recv, route.parts.requested,
                                   route.parts.requested_offsets, row_bytes, true));
  float* gradients = route.rows.gradients.reserve(route.rows.count * dim);
  backend_.sum_rows(stream, route.rows.groups, Matrix::of(wire_, recv, requested, dim),
                    Matrix::f32(gradients, route.rows.count, dim));
}

}  // namespace sparrow
