#include "exchange/row_exchange.hpp"

#include <utility>

namespace sparrow {

RowExchange::RowExchange(const RankContext& context, const StageComms& comms, const RowStore& store,
                         RowTransfer& transfer)
    : backend_(context.backend), comms_(comms), store_(store), transfer_(transfer), dim_(store.dim) {}

void RowExchange::address_rows(Stream& stream, Route& route, const RowStore& offloaded) {
  for (int level = 0; level <= comms_.count(); ++level) {
    RowList& list = route.lists[level];
    const int64_t* slots = list.slots.data();
    const float** addresses = list.addresses.reserve(list.count);
    for (int64_t i = 0; i < list.device; ++i) addresses[i] = store_.values + slots[i] * dim_;
    for (int64_t i = list.device; i < list.here; ++i) addresses[i] = offloaded.values + slots[i] * dim_;
    if (level > 0) address_received(level, route, addresses + list.here);
    list.addresses.upload(stream, list.count);
  }
}

/// Of the rows asked for: in the block of a stage, or for rows that this rank asks of itself, where the list above has
/// them.
void RowExchange::address_received(int level, Route& route, const float** addresses) {
  const int stage = level - 1;
  const auto& [asked, requested] = route.stages[stage];
  const RowSplit& split = route.with_previous;
  const uint8_t* dirty = split.known ? split.dirty[level].data() + route.lists[level].here : nullptr;
  const float* next[2] = {route.received[stage].rows.reserve(asked.total * dim_), nullptr};
  next[1] = next[0] + (split.known ? split.stages[stage][index_of(RowHalf::clean)].asked.total * dim_ : 0);
  for (int64_t i = 0; i < asked.total; ++i) {
    const float*& row = next[dirty ? dirty[i] : 1];
    addresses[i] = row;
    row += dim_;
  }
  const RowList& above = route.lists[stage];
  const auto self = static_cast<size_t>(comms_.host(stage).rank());
  const int32_t* own_requests = above.row_of_request.data() + requested.offset[self];
  for (int64_t i = 0; i < asked.count[self]; ++i)
    addresses[asked.offset[self] + i] = above.addresses.data()[own_requests[i]];
}

void RowExchange::fetch(Stream& stream, Route& route, RowHalf half) {
  for (int stage = 0; stage < comms_.count(); ++stage) send_rows(stream, stage, route, half);
}

void RowExchange::fetch_whole(Stream& stream, Route& route, const RowStore& offloaded) {
  address_rows(stream, route, offloaded);
  fetch(stream, route, RowHalf::dirty);
}

/// Answers the requests of a stage from the list of its level, and takes what this rank asked for into the list one
/// level below.
void RowExchange::send_rows(Stream& stream, int stage, Route& route, RowHalf half) {
  const RowList& from = route.lists[stage];
  const RowSplit& split = route.with_previous;
  const auto& [asked, requested] = route.counts(split, stage, half);
  Comm& comm = comms_.device(stage);

  // Requests of all other ranks, packed in their order; the room for this rank's own requests stays unused.
  const int32_t* rows =
      split.known ? route.received[stage].sent[index_of(half)].device() : from.row_of_request.device();
  const Matrix send = transfer_.outgoing(requested.total);
  const int64_t own_begin = requested.offset[comm.rank()], own_end = own_begin + requested.count[comm.rank()];
  for (const auto& [begin, end] : {std::pair{int64_t{0}, own_begin}, std::pair{own_end, requested.total}}) {
    std::byte* to = static_cast<std::byte*>(send.data) + begin * transfer_.row_bytes();
    backend_.pack_rows(stream, from.addresses.device(), rows + begin, end - begin,
                       Matrix::of(send.type, to, end - begin, dim_));
  }
  float* block = route.received[stage].rows.data();
  if (split.known && half == RowHalf::dirty) block += split.stages[stage][index_of(RowHalf::clean)].asked.total * dim_;
  transfer_.exchange(stream, {comm, Phase::rows, requested, asked, false}, send, block);
}

void RowExchange::sum_own(Stream& stream, Route& route, const Matrix& bag_gradients, RowHalf half) {
  sum(stream, bag_gradients, route.halves.back()[index_of(half)]);
}

void RowExchange::return_gradients(Stream& stream, Route& route, RowHalf half) {
  for (int stage = comms_.count() - 1; stage >= 0; --stage) send_gradients(stream, stage, route, half);
}

/// Sends the gradients of the rows this rank asked for at a stage, and sums those that come in per distinct row.
void RowExchange::send_gradients(Stream& stream, int stage, Route& route, RowHalf half) {
  const ListHalf& from = route.half_of(static_cast<size_t>(stage) + 1, half);
  const auto& [asked, requested] = route.counts(route.with_next, stage, half);
  const Matrix send = transfer_.outgoing(stream, from.gradients.data() + from.here * dim_, asked.total);
  const Matrix received = transfer_.exchange(stream, {comms_.device(stage), Phase::gradients, asked, requested}, send);
  sum(stream, received, route.halves[stage][index_of(half)]);
}

void RowExchange::sum(Stream& stream, const Matrix& gradients, ListHalf& rows) {
  backend_.sum_rows(stream, rows.groups, gradients,
                    Matrix::f32(rows.gradients.reserve(rows.count * dim_), rows.count, dim_));
}

}  // namespace sparrow
