#include "exchange/key_exchange.hpp"

#include <algorithm>

namespace sparrow {

KeyExchange::KeyExchange(Backend& host, const Tables& tables)
    : key_bytes_(tables.key_bytes()),
      total_rows_(tables.total_rows()),
      requests_(host, Memory::host),
      send_(host, Memory::host),
      recv_(host, Memory::host) {}

std::span<const int64_t> KeyExchange::run(Comm& comm, Phase phase, const int64_t* keys, StageCounts& counts) {
  exchange_.run_counts(comm, phase, counts.asked, counts.requested);
  const int64_t asked = counts.asked.total, requested = counts.requested.total;
  int64_t* requests = requests_.reserve(requested);
  if (key_bytes_ == sizeof(int64_t)) {
    exchange_.run(nullptr, comm, phase, keys, counts.asked, requests, counts.requested, key_bytes_);
  } else {
    uint32_t *send = send_.reserve(asked), *recv = recv_.reserve(requested);
    for (int64_t i = 0; i < asked; ++i) send[i] = static_cast<uint32_t>(keys[i]);
    exchange_.run(nullptr, comm, phase, send, counts.asked, recv, counts.requested, key_bytes_);
    std::copy_n(recv, requested, requests);
  }
  for (int64_t i = 0; i < requested; ++i)
    SPARROW_CHECK(requests[i] >= 0 && requests[i] < total_rows_, "a rank asks for row {} of {}", requests[i],
                  total_rows_);
  return {requests, static_cast<size_t>(requested)};
}

}  // namespace sparrow
