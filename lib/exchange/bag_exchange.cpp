#include "exchange/bag_exchange.hpp"

#include <algorithm>
#include <limits>

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
                         const RowStore& store, RowTransfer& transfer)
    : backend_(context.backend),
      directory_(directory),
      host_comm_(comms.host(0)),
      device_comm_(comms.device(0)),
      store_(store),
      transfer_(transfer),
      maker_(context.host, 1),
      key_exchange_(context.host, directory.tables()),
      keys_(host_comm_.size()),
      by_holder_(host_comm_.size()),
      part_of_lookup_(context.host, Memory::host),
      sums_(backend_, Memory::device),
      packed_(backend_, Memory::device),
      addresses_(backend_, Memory::device) {
  SPARROW_CHECK(store.slots < std::numeric_limits<int32_t>::max(), "{} rows on one rank are too many to pool",
                store.slots);
}

void BagExchange::reserve(const ExchangeBounds& bounds) {
  const ExchangeBounds::Pooled& pooled = bounds.pooled;
  if (!pooled.any) return;
  sums_.reserve_exactly(pooled.requested * bounds.dim);
  if (bounds.with_offloaded) packed_.reserve_exactly(pooled.rows.count * bounds.dim);
  addresses_.reserve_exactly(bounds.bags);
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
    route.parts.asked.count[holder] = parts - before;
    keys_.asked.count[holder] = static_cast<int64_t>(list.size());
  }
  route.parts.asked.sum_up();
  keys_.asked.sum_up();
}

/// Number and lengths of the parts the others have here.
void BagExchange::exchange_lengths(BagRoute& route) {
  auto& [asked, requested] = route.parts;
  item_exchange_.run_counts(host_comm_, Phase::ids, asked, requested);
  peer_lengths_.resize(requested.total);
  item_exchange_.run(nullptr, host_comm_, Phase::ids, lengths_.data(), asked, peer_lengths_.data(), requested, 1);
}

void BagExchange::build(Stream& stream, std::span<const Lookup> lookups, bool one_per_bag,
                        const std::vector<char>& bag_is_partial, BagRoute& route) {
  order_parts(lookups, bag_is_partial, route);
  if (!one_per_bag) exchange_lengths(route);
  const auto keys = key_exchange_.run(host_comm_, Phase::ids, send_keys_.data(), keys_);
  route.lookups = static_cast<int64_t>(keys.size());
  if (one_per_bag) {  // a part per key: lengths need not be sent
    route.parts.requested = keys_.requested;
    peer_lengths_.assign(keys.size(), 1);
  }

  int32_t* offsets = route.part_offsets.reserve(route.parts.requested.total + 1);
  int64_t sum = 0;
  for (int64_t part = 0; part < route.parts.requested.total; ++part) {
    offsets[part] = static_cast<int32_t>(sum);
    sum += peer_lengths_[part];
  }
  offsets[route.parts.requested.total] = static_cast<int32_t>(sum);
  SPARROW_CHECK(sum == route.lookups, "ranks announced {} lookups and sent {}", sum, route.lookups);
  find_rows(route, keys);
  int32_t* part_of_lookup = part_of_lookup_.reserve(route.lookups);
  for (int64_t part = 0; part < route.parts.requested.total; ++part)
    std::fill(part_of_lookup + offsets[part], part_of_lookup + offsets[part + 1], static_cast<int32_t>(part));
  int32_t* items = route.rows.group_items.data();
  for (int64_t i = 0; i < route.lookups; ++i) items[i] = part_of_lookup[items[i]];

  route.bag_of_part.upload(stream, route.parts.asked.total);
  route.part_offsets.upload(stream, route.parts.requested.total + 1);
  route.slots.upload(stream, route.lookups);
  route.rows.upload(stream);
}

/// The distinct rows of the lookups that came in, and where each lookup finds its row.
void BagExchange::find_rows(BagRoute& route, std::span<const int64_t> keys) {
  const bool in_device = directory_.offloaded_slots() == 0;
  const int64_t segments[] = {0, route.lookups};
  if (in_device) {
    maker_.make_here(keys.data(), segments, route.rows);
  } else {
    const auto destination = [&](int64_t key) {
      return directory_.offloaded(key) ? RowListMaker::kOffloaded : RowListMaker::kDevice;
    };
    maker_.make(keys.data(), segments, destination, nullptr, route.rows);
  }
  int64_t* row_slots = route.rows.slots.reserve(route.rows.count);
  for (int64_t i = 0; i < route.rows.count; ++i) row_slots[i] = directory_.slot(route.rows.keys.data()[i]);
  const int32_t* row_of = route.rows.row_of_request.data();
  int32_t* slots = route.slots.reserve(route.lookups);
  for (int64_t i = 0; i < route.lookups && in_device; ++i) slots[i] = static_cast<int32_t>(row_slots[row_of[i]]);
  route.rows_by_part = {route.parts.requested.total, route.lookups, route.part_offsets.device(),
                        in_device ? route.slots.device() : route.rows.row_of_request.device()};
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
  const int64_t dim = store_.dim;
  const auto& [asked, requested] = route.parts;
  const Matrix rows = directory_.offloaded_slots() == 0 ? Matrix::f32(store_.values, store_.slots, dim)  //
                                                        : pack(stream, route, offloaded);
  const Matrix sums = Matrix::f32(sums_.reserve(requested.total * dim), requested.total, dim);
  backend_.sum_rows(stream, route.rows_by_part, rows, sums);
  transfer_.exchange(stream, {device_comm_, Phase::rows, requested, asked},
                     transfer_.outgoing(stream, sums.f32(), requested.total), route.vectors.reserve(asked.total * dim));
}

void BagExchange::return_gradients(Stream& stream, BagRoute& route, const Matrix& bag_gradients) {
  const int64_t dim = store_.dim;
  const auto& [asked, requested] = route.parts;
  const float** addresses = addresses_.reserve(bag_gradients.rows);
  backend_.address_rows(stream, bag_gradients.f32(), nullptr, bag_gradients.rows, dim, addresses);
  const Matrix send = transfer_.outgoing(asked.total);
  backend_.pack_rows(stream, addresses, route.bag_of_part.device(), asked.total, send);
  const Matrix received = transfer_.exchange(stream, {device_comm_, Phase::gradients, asked, requested}, send);
  float* gradients = route.rows.gradients.reserve(route.rows.count * dim);
  backend_.sum_rows(stream, route.rows.groups, received, Matrix::f32(gradients, route.rows.count, dim));
}

}  // namespace sparrow
