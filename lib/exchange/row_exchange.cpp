#include "exchange/row_exchange.hpp"

#include <algorithm>
#include <utility>

namespace sparrow {

RowExchange::RowExchange(const RankContext& context, const StageComms& comms, const RowStore& store, DType wire)
    : backend_(context.backend),
      comms_(comms),
      store_(store),
      wire_(wire),
      dim_(store.dim),
      divider_(context.host),
      send_(context.backend, Memory::device),
      recv_(context.backend, Memory::device) {}

void RowExchange::reserve(const ExchangeBounds& bounds) {
  const bool converted = bounds.row_bytes < 4 * bounds.dim;
  int64_t rows = 0;  // of one message to all, or from all
  for (size_t stage = 0; stage < bounds.asked.size(); ++stage)
    rows = std::max({rows, bounds.requested[stage], converted ? bounds.asked[stage] : 0});
  send_.reserve_exactly(rows * bounds.row_bytes);
  recv_.reserve_exactly(rows * bounds.row_bytes);
}

void RowExchange::leave_whole(const Route& route, RowSplit& split) const {
  split.known = false;
  for (size_t stage = 0; stage < route.stages.size(); ++stage) split.take_all(stage, route.stages[stage]);
}

void RowExchange::leave_gradients_whole(Route& route) {
  leave_whole(route, route.with_next);
  for (size_t level = 0; level < route.lists.size(); ++level)
    route.parts[level][index_of(RowHalf::shared)].take_all(route.lists[level]);
}

void RowExchange::divide(Stream& stream, Route& batch, Route& next, RowSplitter& splitter) {
  splitter.split(batch, batch.with_next, next, next.with_previous);
  for (size_t level = 0; level < batch.lists.size(); ++level)
    divider_.divide(stream, batch.lists[level], batch.with_next.shared[level].data(), level + 1 < batch.lists.size(),
                    batch.parts[level]);
  for (int stage = 0; stage < comms_.count(); ++stage) choose_sent(stream, stage, next);
}

/// The rows that go out at a stage, by half.
void RowExchange::choose_sent(Stream& stream, int stage, Route& route) {
  const auto s = static_cast<size_t>(stage);
  const StageCounts& counts = route.stages[s];
  const int32_t* rows = route.lists[s].row_of_member.data();
  const uint8_t* shared = route.with_previous.shared[s].data();
  std::array<Mirrored<int32_t>, 2>& sent = route.received[s].sent;
  int32_t* to[2] = {sent[0].reserve(counts.requested_total), sent[1].reserve(counts.requested_total)};
  for (int64_t i = 0; i < counts.requested_total; ++i) *to[shared[rows[i]]]++ = rows[i];
  for (const RowHalf half : {RowHalf::single, RowHalf::shared})
    sent[index_of(half)].upload(stream, route.with_previous.counts(stage, half).requested_total);
}

/// In a store, in the block of a stage, or for rows that this rank asks of itself, where the list above has them.
void RowExchange::place(Stream& stream, Route& route, const RowStore& offloaded) {
  for (size_t level = 0; level < route.lists.size(); ++level) {
    RowList& list = route.lists[level];
    const float** addresses = list.addresses.reserve(list.count);
    for (int64_t i = 0; i < list.device; ++i) addresses[i] = store_.values + list.slots.data()[i] * dim_;
    for (int64_t i = list.device; i < list.here; ++i) addresses[i] = offloaded.values + list.slots.data()[i] * dim_;
    if (level > 0) {
      const RowList& above = route.lists[level - 1];
      const StageCounts& counts = route.stages[level - 1];
      const RowSplit& split = route.with_previous;
      const uint8_t* shared = split.known ? split.shared[level].data() + list.here : nullptr;
      const float* next[2] = {route.received[level - 1].rows.reserve(counts.asked_total * dim_), nullptr};
      next[1] = next[0] + split.counts(static_cast<int>(level) - 1, RowHalf::single).asked_total * dim_;
      for (int64_t i = 0; i < counts.asked_total; ++i) {
        const float*& row = next[shared ? shared[i] : 1];
        addresses[list.here + i] = row;
        row += dim_;
      }
      const auto self = static_cast<size_t>(comms_.host(static_cast<int>(level) - 1).rank());
      const int32_t* own_requests = above.row_of_member.data() + counts.requested_offsets[self];
      const float** own = addresses + list.here + counts.asked_offsets[self];
      for (int64_t i = 0; i < counts.asked[self]; ++i) own[i] = above.addresses.data()[own_requests[i]];
    }
    list.addresses.upload(stream, list.count);
  }
}

void RowExchange::fetch(Stream& stream, Route& route, RowHalf half) {
  for (int stage = 0; stage < comms_.count(); ++stage) send_rows(stream, stage, route, half);
}

void RowExchange::fetch_whole(Stream& stream, Route& route, const RowStore& offloaded) {
  leave_rows_whole(route);
  place(stream, route, offloaded);
  fetch(stream, route, RowHalf::shared);
}

/// Answers the requests of a stage from the list of its level, and takes what this rank asked for into the list one
/// level below.
void RowExchange::send_rows(Stream& stream, int stage, Route& route, RowHalf half) {
  const auto s = static_cast<size_t>(stage);
  const RowList& from = route.lists[s];
  const StageCounts& counts = route.with_previous.counts(stage, half);
  Comm& comm = comms_.device(stage);
  const auto self = static_cast<size_t>(comm.rank());
  const int64_t row_bytes = dim_ * size_of(wire_);

  // Requests of all other ranks, packed in their order; the place of this rank's own requests stays unused.
  const int32_t* rows = route.with_previous.known ? route.received[s].sent[index_of(half)].device()  //
                                                  : from.row_of_member.device();
  std::byte* send = send_.reserve(counts.requested_total * row_bytes);
  const int64_t own_begin = counts.requested_offsets[self], own_end = own_begin + counts.requested[self];
  for (const auto& [begin, end] : {std::pair{int64_t{0}, own_begin}, std::pair{own_end, counts.requested_total}})
    backend_.pack_rows(stream, from.addresses.device(), rows + begin, end - begin,
                       Matrix::of(wire_, send + begin * row_bytes, end - begin, dim_));

  float* block = route.received[s].rows.data();
  if (half == RowHalf::shared) block += route.with_previous.counts(stage, RowHalf::single).asked_total * dim_;
  void* recv = wire_ == DType::f32 ? static_cast<void*>(block) : recv_.reserve(counts.asked_total * row_bytes);
  comm.wait(transfer_.post(&stream, comm, Phase::rows, send, counts.requested, counts.requested_offsets, recv,
                           counts.asked, counts.asked_offsets, row_bytes, false));
  if (wire_ != DType::f32)
    backend_.convert(stream, Matrix::of(wire_, recv, counts.asked_total, dim_),
                     Matrix::f32(block, counts.asked_total, dim_));
}

void RowExchange::sum_own(Stream& stream, Route& route, const Matrix& bag_gradients, RowHalf half) {
  ListPart& lowest = route.parts.back()[index_of(half)];
  backend_.sum_rows(stream, lowest.groups, bag_gradients,
                    Matrix::f32(lowest.gradients.reserve(lowest.count * dim_), lowest.count, dim_));
}

void RowExchange::return_gradients(Stream& stream, Route& route, RowHalf half) {
  for (int stage = comms_.count() - 1; stage >= 0; --stage) send_gradients(stream, stage, route, half);
}

/// Sends the gradients of the rows this rank asked for at a stage, and sums those that come in per distinct row.
void RowExchange::send_gradients(Stream& stream, int stage, Route& route, RowHalf half) {
  const auto s = static_cast<size_t>(stage);
  const ListPart& from = route.part(s + 1, half);
  ListPart& to = route.parts[s][index_of(half)];
  const StageCounts& counts = route.with_next.counts(stage, half);
  const int64_t row_bytes = dim_ * size_of(wire_);

  float* gradients = from.gradients.data() + from.here * dim_;
  void* send = gradients;
  if (wire_ != DType::f32) {
    send = send_.reserve(counts.asked_total * row_bytes);
    backend_.convert(stream, Matrix::f32(gradients, counts.asked_total, dim_),
                     Matrix::of(wire_, send, counts.asked_total, dim_));
  }
  std::byte* recv = recv_.reserve(counts.requested_total * row_bytes);
  Comm& comm = comms_.device(stage);
  comm.wait(transfer_.post(&stream, comm, Phase::gradients, send, counts.asked, counts.asked_offsets, recv,
                           counts.requested, counts.requested_offsets, row_bytes, true));
  backend_.sum_rows(stream, to.groups, Matrix::of(wire_, recv, counts.requested_total, dim_),
                    Matrix::f32(to.gradients.reserve(to.count * dim_), to.count, dim_));
}

}  // namespace sparrow
