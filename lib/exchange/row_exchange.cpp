#include "exchange/row_exchange.hpp"

#include <utility>

namespace sparrow {

RowExchange::RowExchange(Backend& backend, const Directory& directory, const StageComms& comms, const RowStore& store,
                         DType wire)
    : backend_(backend),
      directory_(directory),
      comms_(comms),
      store_(store),
      wire_(wire),
      dim_(store.dim),
      send_(backend, Memory::device),
      received_gradients_(backend, Memory::device) {
  for (int stage = 0; stage < comms.count(); ++stage) blocks_.emplace_back(backend);
}

void RowExchange::address_here(Stream& stream, RowList& list) {
  list.addresses.reserve(list.count);
  backend_.address_rows(stream, store_.values, list.slots.data(), list.here, dim_, list.addresses.data());
}

void RowExchange::fetch(Stream& stream, Route& route) {
  for (RowList& list : route.lists) address_here(stream, list);
  for (int stage = 0; stage < comms_.count(); ++stage) send_rows(stream, stage, route);
}

/// Answers the requests of a stage from the list of its level, and takes what this rank asked for into the list one
/// level below.
void RowExchange::send_rows(Stream& stream, int stage, Route& route) {
  const RowList& from = route.lists[static_cast<size_t>(stage)];
  RowList& to = route.lists[static_cast<size_t>(stage) + 1];
  const StageCounts& counts = route.stages[static_cast<size_t>(stage)];
  Block& block = blocks_[static_cast<size_t>(stage)];
  const auto self = static_cast<size_t>(comms_[stage].rank());
  const int64_t row_bytes = dim_ * size_of(wire_);

  // Requests of all other ranks, packed in their order; the place of this rank's own requests stays unused.
  std::byte* send = send_.reserve(counts.requested_total * row_bytes);
  const int64_t own_begin = counts.requested_offsets[self], own_end = own_begin + counts.requested[self];
  const int32_t* row_of_request = from.row_of_member.data();
  for (const auto& [begin, end] : {std::pair{int64_t{0}, own_begin}, std::pair{own_end, counts.requested_total}})
    backend_.pack_rows(stream, from.addresses.data(), row_of_request + begin, end - begin,
                       Matrix::of(wire_, send + begin * row_bytes, end - begin, dim_));

  float* rows = block.f32.reserve(counts.asked_total * dim_);
  void* recv = wire_ == DType::f32 ? static_cast<void*>(rows) : block.wire.reserve(counts.asked_total * row_bytes);
  const Ticket ticket =
      transfer_.post(stream, comms_[stage], Phase::rows, send, counts.requested, counts.requested_offsets, recv,
                     counts.asked, counts.asked_offsets, row_bytes, false);
  const float** addresses = to.addresses.data() + to.here;
  backend_.address_rows(stream, rows, nullptr, counts.asked_total, dim_, addresses);
  backend_.synchronize(stream);
  for (int64_t i = 0; i < counts.asked[self]; ++i)  // rows asked of myself stay where they are
    addresses[counts.asked_offsets[self] + i] = from.addresses.data()[row_of_request[own_begin + i]];
  comms_[stage].wait(ticket);
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
  backend_.synchronize(stream);
  std::byte* recv = received_gradients_.reserve(counts.requested_total * row_bytes);
  const Ticket ticket =
      transfer_.post(stream, comms_[stage], Phase::gradients, send, counts.asked, counts.asked_offsets, recv,
                     counts.requested, counts.requested_offsets, row_bytes, true);
  comms_[stage].wait(ticket);
  backend_.sum_rows(stream, to.groups, Matrix::of(wire_, recv, counts.requested_total, dim_),
                    Matrix::f32(to.gradients.reserve(to.count * dim_), to.count, dim_));
}

}  // namespace sparrow
