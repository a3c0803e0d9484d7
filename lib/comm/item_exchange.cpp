#include "comm/item_exchange.hpp"

#include <limits>

#include "base/error.hpp"

namespace sparrow {

void ItemsByRank::sum_up() {
  total = 0;
  for (size_t rank = 0; rank < count.size(); ++rank) {
    offset[rank] = total;
    total += count[rank];
  }
}

void ItemExchange::run(Stream* stream, Comm& comm, Phase phase, const void* send, const ItemsByRank& sent, void* recv,
                       const ItemsByRank& received, int64_t item_bytes, bool own) {
  const auto ranks = sent.count.size(), self = static_cast<size_t>(comm.rank());
  for (auto* list : {&send_bytes_, &send_offsets_, &recv_bytes_, &recv_offsets_}) list->resize(ranks);
  for (size_t r = 0; r < ranks; ++r) {
    const bool moves = own || r != self;
    send_bytes_[r] = moves ? sent.count[r] * item_bytes : 0, send_offsets_[r] = sent.offset[r] * item_bytes;
    recv_bytes_[r] = moves ? received.count[r] * item_bytes : 0, recv_offsets_[r] = received.offset[r] * item_bytes;
  }
  comm.wait(comm.post(stream, {phase, static_cast<const std::byte*>(send), send_bytes_, send_offsets_,
                               static_cast<std::byte*>(recv), recv_bytes_, recv_offsets_}));
}

void ItemExchange::run_counts(Comm& comm, Phase phase, const ItemsByRank& sent, ItemsByRank& received) {
  one_each_.count.assign(sent.count.size(), 1);
  one_each_.offset.resize(sent.count.size());
  one_each_.sum_up();
  run(nullptr, comm, phase, sent.count.data(), one_each_, received.count.data(), one_each_, sizeof(int64_t));
  for (const int64_t n : received.count)
    SPARROW_CHECK(n >= 0 && n <= std::numeric_limits<int32_t>::max(), "a rank announces {} items", n);
  received.sum_up();
}

}  // namespace sparrow
