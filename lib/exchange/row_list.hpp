// Lists of distinct rows, and the exchange of their keys: the pieces that routes are made of.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "comm/comm.hpp"
#include "exchange/exchange_bounds.hpp"
#include "exchange/rank_context.hpp"
#include "exchange/scratch.hpp"
#include "kernels/backend.hpp"
#include "layout/hierarchy.hpp"

namespace sparrow {

/// Distinct rows that one rank deals with at one level. First those whose copy is here, in device memory and then in
/// the slower store, then those it asks other ranks for, by rank. Each row stands for one or more *members*: bags of
/// samples, or requests of other ranks.
struct RowList {
  explicit RowList(Backend& backend);
  int64_t count = 0;
  int64_t here = 0;    ///< the first this many have their copy at this rank
  int64_t device = 0;  ///< of these, the first this many have it in device memory
  int64_t members = 0;
  Scratch<int64_t> keys;    ///< [count], on the host alone
  Mirrored<int64_t> slots;  ///< [here], of the directory; of rows in the slower store: places in OffloadedRoute::rows
  Mirrored<int32_t> row_of_member;  ///< [members], place of each member's row in the list
  Groups groups;                    ///< members by row, in device memory
  Mirrored<int32_t> group_offsets, group_items;
  Mirrored<const float*> addresses;  ///< [count], where the values are once fetched
  Scratch<float> gradients;          ///< (count, dim)

  /// Members and groups to the device.
  void upload(Stream& stream);

  /// Takes the device memory that any batch within the bounds needs, but for gradients.
  void reserve(const ListBounds& bounds) {
    slots.reserve_exactly(bounds.here);
    row_of_member.reserve_exactly(bounds.members);
    group_offsets.reserve_exactly(bounds.count + 1);
    group_items.reserve_exactly(bounds.members);
    addresses.reserve_exactly(bounds.count);
  }
};

/// Rows per peer of one stage's exchange. Offsets are running sums; all have one entry per rank of the stage's
/// communicator.
struct StageCounts {
  explicit StageCounts(int peers);
  std::vector<int64_t> asked, asked_offsets;          ///< rows this rank asks of each (or sends to each), in list order
  std::vector<int64_t> requested, requested_offsets;  ///< rows each asks of this rank (or sends to it)
  int64_t asked_total = 0, requested_total = 0;
  void sum_asked();
  void sum_requested();
};

/// Communicators per stage of the hierarchy, for host and for device memory (one and the same where these are): stage s
/// joins the ranks of this rank's domain at level s. Peers are numbered in it.
class StageComms {
 public:
  /// Collective over both communicators, whose ranks are the hierarchy's.
  StageComms(Comm& host, Comm& device, const Hierarchy& hierarchy);
  Comm& host(int stage) const { return *host_[stage]; }
  Comm& device(int stage) const { return *(device_.empty() ? host_ : device_)[stage]; }
  int count() const { return static_cast<int>(host_.size()); }
  std::span<const int> sizes() const { return sizes_; }
  /// Number in stage s's communicator of a rank of the world.
  int peer(int stage, int world_rank) const { return peer_of_[stage][world_rank]; }
  /// Bytes and messages of a stage, and of all stages together.
  Traffic traffic(int stage) const;
  Traffic traffic() const;

 private:
  std::vector<std::unique_ptr<Comm>> host_, device_;  ///< device_ is empty where they are the same
  std::vector<int> sizes_;
  std::vector<std::vector<int>> peer_of_;
};

/// Fills row lists, on the host. Keeps scratch memory between calls.
class RowListMaker {
 public:
  /// host: a backend of host memory. key_bytes: 4 or 8, of a key on the wire.
  RowListMaker(Backend& host, int64_t key_bytes, int tables);

  /// Sets list.count, members and row_of_member (still in the order of first use) from `keys` in segments (see
  /// Backend::distinct), and returns the distinct keys, valid until the next call.
  std::span<const int64_t> distinct(const int64_t* keys, std::span<const int64_t> segments, RowList& list);

  /// Where each distinct row is asked for: kDevice or kOffloaded, which are here, or a peer of the stage. To be filled
  /// between distinct() and arrange().
  static constexpr int32_t kDevice = -2, kOffloaded = -1;
  std::span<int32_t> destinations(int64_t count) { return {destination_.reserve(count), static_cast<size_t>(count)}; }

  /// Orders the list by destination (here first), fills keys, groups and, for `counts`, how many rows each peer is
  /// asked for. counts null: everything is here.
  void arrange(RowList& list, StageCounts* counts);
  /// The same where all rows are here in device memory: destinations are not read.
  void arrange_here(RowList& list);

  /// Collective over `comm`: sends keys[0 .. counts.asked_total), grouped by peer, and returns the keys the others sent
  /// here (counts.requested of them), valid until the next call. Two exchanges: counts, then keys. Throws Error for
  /// keys outside 0 .. total_rows.
  std::span<const int64_t> exchange_keys(Comm& comm, Phase phase, const int64_t* keys, int64_t total_rows,
                                         StageCounts& counts);

 private:
  void group_members(RowList& list);

  Backend& host_;
  std::unique_ptr<Stream> stream_;  ///< of host_
  int64_t key_bytes_;
  std::vector<int64_t> distinct_segments_, send_bytes_, send_offsets_, recv_bytes_, recv_offsets_;
  Scratch<int64_t> distinct_keys_, requests_;
  Scratch<int32_t> destination_, order_, order_offsets_, place_;
  Scratch<uint32_t> send_keys_, recv_keys_;
};

/// Posts an exchange of rows: counts by peer times row_bytes each. The vectors are scratch that must stay alive until
/// the wait.
struct RowTransfer {
  std::vector<int64_t> send_bytes, send_offsets, recv_bytes, recv_offsets;
  /// with_self = false: this rank's own part is not copied.
  Ticket post(Stream* stream, Comm& comm, Phase phase, const void* send, const std::vector<int64_t>& send_rows,
              const std::vector<int64_t>& send_row_offsets, void* recv, const std::vector<int64_t>& recv_rows,
              const std::vector<int64_t>& recv_row_offsets, int64_t row_bytes, bool with_self);
};

}  // namespace sparrow
