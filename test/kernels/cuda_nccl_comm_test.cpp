// The NCCL communicator, under mpirun: what arrives, in which order of streams, and what happens when a rank stays
// away.
#include <catch2/catch.hpp>
#include <numeric>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "comm/mpi_comm.hpp"
#include "comm/mpi_runtime.hpp"
#include "kernels/cuda_module.hpp"

using namespace sparrow;

namespace {

struct Rank {
  MpiRuntime runtime;
  /// NCCL refuses two ranks on one GPU.
  std::unique_ptr<Backend> backend =
      make_cuda_backend({.device = runtime.local_rank(), .tf32 = false, .arena_bytes = 0}, SPARROW_CUDA_MODULE_DIR);
  std::unique_ptr<Stream> stream = backend->make_stream();

  std::unique_ptr<Comm> comm(double timeout_seconds = 20) {
    return make_nccl_comm(make_mpi_comm(runtime, timeout_seconds), SPARROW_CUDA_MODULE_DIR);
  }

  /// All ranks have got here: none may still wait for another when it ends the test.
  void finish_together() { barrier(*make_mpi_comm(runtime, 20)); }
};

/// How many values rank `from` sends to rank `to`: also none, and different each way.
int64_t count(int from, int to) {
  return (from * 3 + to * 5) % 4 * 1000 + (from == to ? 1 : 0);
}

std::vector<int64_t> offsets_of(const std::vector<int64_t>& bytes) {
  std::vector<int64_t> offsets(bytes.size());
  std::exclusive_scan(bytes.begin(), bytes.end(), offsets.begin(), int64_t{0});
  return offsets;
}

/// An all-to-all of int32 values and its buffers. Value i from rank f to rank t is 1000000 f + 10000 t + i.
struct Exchange {
  Exchange(const Rank& rank, const Comm& comm) {
    for (int peer = 0; peer < comm.size(); ++peer) {
      send_bytes.push_back(4 * count(comm.rank(), peer));
      recv_bytes.push_back(4 * count(peer, comm.rank()));
      for (int64_t i = 0; i < count(comm.rank(), peer); ++i)
        values.push_back(static_cast<int32_t>(1000000 * comm.rank() + 10000 * peer + i));
      for (int64_t i = 0; i < count(peer, comm.rank()); ++i) {
        expected.push_back(static_cast<int32_t>(1000000 * peer + 10000 * comm.rank() + i));
      }
    }
    send_offsets = offsets_of(send_bytes);
    recv_offsets = offsets_of(recv_bytes);
    send = Array<int32_t>(*rank.backend, Memory::device, static_cast<int64_t>(values.size()) + 1);
    recv = Array<int32_t>(*rank.backend, Memory::device, static_cast<int64_t>(expected.size()) + 1);
  }

  AllToAll operation() const {
    return {Phase::rows,  reinterpret_cast<const std::byte*>(send.data()), send_bytes,
            send_offsets, reinterpret_cast<std::byte*>(recv.data()),       recv_bytes,
            recv_offsets};
  }

  std::vector<int64_t> send_bytes, recv_bytes, send_offsets, recv_offsets;
  std::vector<int32_t> values, expected;
  Array<int32_t> send, recv;
};

/// Queues everything of one exchange on the rank's stream: the values, the transfer, and their way back to the host.
Ticket start(const Rank& rank, Comm& comm, const Exchange& e) {
  rank.backend->copy(*rank.stream, e.send.data(), e.values.data(), static_cast<int64_t>(e.values.size()) * 4);
  return comm.post(rank.stream.get(), e.operation());
}

std::vector<int32_t> received(const Rank& rank, const Exchange& e) {
  std::vector<int32_t> result(e.expected.size());
  rank.backend->copy(*rank.stream, result.data(), e.recv.data(), static_cast<int64_t>(result.size()) * 4);
  rank.backend->synchronize(*rank.stream);
  return result;
}

}  // namespace

TEST_CASE("An all-to-all brings every part to its rank, in stream order, and counts its bytes") {
  Rank rank;
  const auto comm = rank.comm();
  CHECK(comm->name() == "nccl");
  const Exchange e(rank, *comm);
  for (int round = 0; round < 3; ++round) {
    rank.backend->zero(*rank.stream, e.recv.data(), e.recv.size() * 4);
    const Ticket ticket = start(rank, *comm, e);
    comm->wait(ticket);
    CHECK(received(rank, e) == e.expected);
  }
  const int64_t sent =
      std::accumulate(e.send_bytes.begin(), e.send_bytes.end(), int64_t{0}) - e.send_bytes[comm->rank()];
  CHECK(comm->traffic().sent_bytes[static_cast<size_t>(Phase::rows)] == 3 * sent);
  rank.finish_together();
}

TEST_CASE("Many operations are under way at the same time, on two communicators") {
  Rank rank;
  const auto first = rank.comm(), second = first->split(0, -first->rank());
  REQUIRE(second->size() == first->size());
  CHECK(second->rank() == first->size() - 1 - first->rank());
  std::vector<std::unique_ptr<Exchange>> exchanges;
  std::vector<Ticket> tickets;
  for (int k = 0; k < 10; ++k) {
    Comm& comm = k % 2 ? *second : *first;
    exchanges.push_back(std::make_unique<Exchange>(rank, comm));
    tickets.push_back(start(rank, comm, *exchanges.back()));
  }
  for (int k = 0; k < 10; ++k) {
    (k % 2 ? *second : *first).wait(tickets[k]);
    CHECK(received(rank, *exchanges[k]) == exchanges[k]->expected);
  }
  rank.finish_together();
}

TEST_CASE("Rounds in which some ranks have nothing to send or receive do not confuse the others") {
  Rank rank;
  const auto comm = rank.comm();
  const int size = comm->size(), me = comm->rank();
  const Array<int32_t> send(*rank.backend, Memory::device, 1), recv(*rank.backend, Memory::device, 1);
  for (int round = 0; round < 3 * size; ++round) {  // in each, one rank sends one number to the next
    const int from = round % size, to = (from + 1) % size;
    std::vector<int64_t> send_bytes(size), recv_bytes(send_bytes), offsets(send_bytes);
    if (me == from) send_bytes[to] = 4;
    if (me == to) recv_bytes[from] = 4;
    rank.backend->copy(*rank.stream, send.data(), &round, 4);
    comm->wait(
        comm->post(rank.stream.get(), {Phase::rows, reinterpret_cast<const std::byte*>(send.data()), send_bytes,
                                       offsets, reinterpret_cast<std::byte*>(recv.data()), recv_bytes, offsets}));
    int32_t got = round;
    if (me == to) rank.backend->copy(*rank.stream, &got, recv.data(), 4);
    rank.backend->synchronize(*rank.stream);
    CHECK(got == round);
  }
  rank.finish_together();
}

TEST_CASE("Splitting leaves out who wants to") {
  Rank rank;
  const auto comm = rank.comm();
  const auto part = comm->split(comm->rank() == 0 ? -1 : 0, 0);
  CHECK((part == nullptr) == (comm->rank() == 0));
  if (part) {
    const Exchange e(rank, *part);
    part->wait(start(rank, *part, e));
    CHECK(received(rank, e) == e.expected);
  }
  rank.finish_together();
}

TEST_CASE("A rank that stays away is an error on the others within the time-out") {
  Rank rank;
  const auto comm = rank.comm(2);
  if (comm->size() > 1 && comm->rank() != 0) {
    const Exchange e(rank, *comm);
    const Ticket ticket = start(rank, *comm, e);
    comm->wait(ticket);
    received(rank, e);  // comes back because the transfer was aborted
    CHECK_THROWS_WITH(comm->post(rank.stream.get(), e.operation()), Catch::Matchers::Contains("waited more than 2"));
  }
  rank.finish_together();
}

TEST_CASE("Operations that contradict themselves are refused") {
  Rank rank;
  const auto comm = rank.comm();
  Exchange e(rank, *comm);
  CHECK_THROWS_AS(comm->post(nullptr, e.operation()), Error);
  e.send_bytes.pop_back();
  CHECK_THROWS_AS(comm->post(rank.stream.get(), e.operation()), Error);
  CHECK_THROWS_AS(comm->wait(Ticket{3}), Error);
  rank.finish_together();
}
