// How ranks talk. One interface, three implementations: MPI (mpi_comm), ranks as threads of one process for tests (thread_comm), and
// NCCL (kernels/cuda/nccl_comm). The one primitive is an all-to-all with a size per pair, posted and waited for; everything else
// (all-reduce, broadcast, gather) is composed of it in collectives.hpp, so that every byte is counted once, here.
//
//   Two ranks, each sending 1 value to rank 0 and 2 to rank 1:
//     before   rank 0 send: [a | b c]      rank 1 send: [d | e f]
//     after    rank 0 recv: [a | d]        rank 1 recv: [b c | e f]
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/phase.hpp"

namespace sparrow {

class Stream;

/// Bytes and messages per phase since the start, of this communicator alone (a split one counts for itself: a stage each).
/// What a rank sends to itself is not counted.
struct Traffic {
  static constexpr int kLevels = 16;
  std::array<int64_t, kPhases> sent_bytes{}, received_bytes{}, sent_messages{};
  /// In all phases but control, by the level of the system's tree at which the way to the receiver parts (below its root,
  /// level 0, unless the communicator was told otherwise).
  std::array<int64_t, kLevels> sent_by_level{};
};

Traffic operator+(const Traffic& a, const Traffic& b);
Traffic operator-(const Traffic& a, const Traffic& b);

/// Sent by iterations: in all phases but control.
int64_t sent_by_iterations(const Traffic& traffic);

/// One all-to-all. Spans have size() elements and, like the buffers, must stay alive until the wait. Part i of send goes to rank i;
/// part i of recv comes from rank i; sizes must agree between the two (a mismatch throws on the receiver, or earlier).
struct AllToAll {
  Phase phase = Phase::control;
  const std::byte* send = nullptr;
  std::span<const int64_t> send_bytes, send_offsets;  ///< in bytes
  std::byte* recv = nullptr;
  std::span<const int64_t> recv_bytes, recv_offsets;
};

/// Names a posted operation until it is waited for.
struct Ticket {
  int index = -1;
};

class Comm {
 public:
  virtual ~Comm() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Starts an all-to-all. Collective: every rank of this communicator posts the same sequence of operations. On a device backend the
  /// transfer is ordered on `stream` after what was queued before; host communicators transfer at once (the caller has synchronised).
  /// At most kMaxPosted operations may be under way.
  virtual Ticket post(Stream* stream, const AllToAll& operation) = 0;

  /// Returns when the operation is done here (host), or makes `stream`'s later work wait for it (device). Throws Error naming the ranks
  /// still missing when they keep this rank waiting longer than the time-out.
  virtual void wait(Ticket ticket) = 0;

  /// Ranks with equal colour form a new communicator, ordered by (key, rank). Collective. colour < 0: takes part, gets nullptr.
  virtual std::unique_ptr<Comm> split(int color, int key) = 0;
  /// The same by names: `members` of this communicator, ascending, form one of their own, and each of them names all of
  /// them. Collective over all ranks. Without members: takes part, gets nullptr.
  virtual std::unique_ptr<Comm> group(std::span<const int> members) {
    return split(members.empty() ? -1 : members.front(), rank());
  }

  virtual const Traffic& traffic() const = 0;
  /// The level of each rank's way for Traffic::sent_by_level, 0 .. Traffic::kLevels - 1.
  void set_levels(std::vector<int> level_of_rank) { level_of_rank_ = std::move(level_of_rank); }
  virtual double timeout_seconds() const = 0;
  virtual std::string name() const = 0;  ///< "mpi", "threads", "nccl"

  static constexpr int kMaxPosted = 64;

 protected:
  std::vector<int> level_of_rank_;  ///< empty: 0 for all
};

}  // namespace sparrow
