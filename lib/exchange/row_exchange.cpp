#include "exchange/row_exchange.hpp"

#include <utility>

namespace sparrow {

RowExchange::RowExchange(Backend& backend, const StageComms& comms, const RowStore& store, DType wire)
    : backend_(backend),
      comms_(comms),
      store_(store),
      wire_(wire),
      dim_(store.dim),
      send_(backend, Memory::device),
      received_gradients_(backend, Memory::device) {
  for (int stage = 0; stage < comms.count(); ++stage) blocks_.emplace_back(backend);
}

void RowExchange::fetch(Stream& stream, Route& route, const RowStore& fetched) {
  find_rows(stream, route, fetched);
  for (int stage = 0; stage < comms_.count(); ++stage) send_rows(stream, stage, route);
}

/// Where the values of every row will be: in a store, in the block of a stage, or for rows that this rank asks of
/// itself, where the list above has them.
void RowExchange::find_rows(Stream& stream, Route& route, const RowStore& fetched) {
  for (size_t level = 0; level < route.lists.size(); ++level) {
    RowList& list = route.lists[level];
    const float** addresses = list.addresses.reserve(list.count);
    for (int64_t i = 0; i < list.device; ++i) addresses[i] = store_.values + list.slots.data()[i] * dim_;
    for (int64_t i = list.device; i < list.here; ++i) addresses[i] = fetched.values + list.slots.data()[i] * dim_;
    if (level > 0) {
      const RowList& above = route.lists[level - 1];
      const StageCounts& counts = route.stages[level - 1];
      const float* rows = blocks_[level - 1].f32.reserve(counts.asked_total * dim_);
      for (int64_t i = 0; i < counts.asked_total; ++i) addresses[list.here + i] = rows + i * dim_;
      const auto self = static_cast<size_t>(comms_.host(static_cast<int>(level) - 1).rank());
      const int32_t* own_requests = above.row_of_member.data() + counts.requested_offsets[self];
      const float** own = addresses + list.here + counts.asked_offsets[self];
      for (int64_t i = 0; i < counts.asked[self]; ++i) own[i] = above.addresses.data()[own_requests[i]];
    }
    list.addresses.upload(stream, list.count);
  }
}

/// Answers the requests of a stage from the list of its level, and takes what this rank asked for into the list one
/// level below.
void RowExchange::send_rows(Stream& stream, int stage, Route& route) {
  const RowList& from = route.lists[static_cast<size_t>(stage)];
  const StageCounts& counts = route.stages[static_cast<size_t>(stage)];
  Block& block = blocks_[static_cast<size_t>(stage)];
  Comm& comm = comms_.device(stage);
  const auto self = static_cast<size_t>(comm.rank());
  const int64_t row_bytes = dim_ * size_of(wire_);

  // Requests of all other ranks, packed in their order; the place of this rank's own requests stays unused.
  std::byte* send = send_.reserve(counts.requested_total * row_bytes);
  const int64_t own_begin = counts.requested_offsets[self], own_end = own_begin + counts.requested[self];
  for (const auto& [begin, end] : {std::pair{int64_t{0}, own_begin}, std::pair{own_end, counts.requested_total}})
    backend_.pack_rows(stream, from.addresses.device(), from.row_of_member.device() + begin, end - begin,
                       Matrix::of(wire_, send + begin * row_bytes, end - begin, dim_));

  float* rows = block.f32.data();
  void* recv = wire_ == DType::f32 ? static_cast<void*>(rows) : block.wire.reserve(counts.asked_total * row_bytes);
  comm.wait(transfer_.post(&stream, comm, Phase::rows, send, counts.requested, counts.requested_offsets, recv,
                           counts.asked, counts.asked_offsets, row_bytes, false));
  if (wire_ != DType::f32)
    backend_.convert(stream, Matrix::of(wire_, recv, counts.asked_total, dim_),
                     Matrix::f32(rows, counts.asked_total, dim_));
}

void RowExchange::return_gradients(Stream& stream, Route& route, const Matrix& bag_gradients) {
  RowList& lowest = route.lowest();
  backend_.sum_rows(stream, lowest.groups, bag_gradients,
                    Matrix::f32(lowest.gradients.reserve(lowest.count * dim_), lowest.count, dim_));
  for (int stage = comms_.count() - 1; stage >= 0; --stage) send_gradients(stream, stage, route);
}

/// Sends the gradients of the rows this rank asked for at a stage, and sums those that come in per distinct row.
void RowExchange::send_gradients(Stream& stream, int stage, Route& route) {
  const RowList& from = route.lists[static_cast<size_t>(stage) + 1];
  RowList& to = route.lists[static_cast<size_t>(stage)];
  const StageCounts& counts = route.stages[static_cast<size_t>(stage)];
  const int64_t row_bytes = dim_ * size_of(wire_);

  float* gradients = from.gradients.data() + from.here * dim_;
  void* send = gradients;
  if (wire_ != DType::f32) {
    send = send_.reserve(counts.asked_total * row_bytes);
    backend_.convert(stream, Matrix::f32(gradients, counts.asked_total, dim_),
                     Matrix::of(wire_, send, counts.asked_total, dim_));
  }
  std::byte* recv = received_gradients_.reserve(counts.requested_total * row_bytes);
  Comm& comm = comms_.device(stage);
  comm.wait(transfer_.post(&stream, comm, Phase::gradients, send, counts.asked, counts.asked_offsets, recv,
                           counts.requested, counts.requested_offsets, row_bytes, true));
  backend_.sum_rows(stream, to.groups, Matrix::of(wire_, recv, counts.requested_total, dim_),
                    Matrix::f32(to.gradients.reserve(to.count * dim_), to.count, dim_));
}

}  // namespace sparrow
