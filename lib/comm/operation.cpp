#include "comm/operation.hpp"

#include <algorithm>
#include <cstring>

#include "base/error.hpp"

namespace sparrow {

namespace {

void check_side(const char* side, const std::byte* buffer, std::span<const int64_t> bytes,
                std::span<const int64_t> offsets, size_t size) {
  if (bytes.size() != size || offsets.size() != size) {
    fail("all-to-all over {} ranks: {}_bytes has {} elements, {}_offsets {}", size, side, bytes.size(), side,
         offsets.size());
  }
  for (size_t peer = 0; peer < size; ++peer) {
    if (bytes[peer] < 0 || offsets[peer] < 0) {
      fail("all-to-all: {} part {} has {} bytes at offset {}", side, peer, bytes[peer], offsets[peer]);
    }
    if (bytes[peer] > 0 && buffer == nullptr) fail("all-to-all: {} is null but part {} has bytes", side, peer);
  }
}

}  // namespace

void check_operation(const AllToAll& operation, int rank, int size) {
  check_side("send", operation.send, operation.send_bytes, operation.send_offsets, size);
  check_side("recv", operation.recv, operation.recv_bytes, operation.recv_offsets, size);
  if (operation.send_bytes[rank] != operation.recv_bytes[rank]) {
    fail("all-to-all ({}): rank {} sends {} bytes to itself but expects {}", phase_name(operation.phase), rank,
         operation.send_bytes[rank], operation.recv_bytes[rank]);
  }
}

void count_sent(Traffic& traffic, const AllToAll& operation, int rank, std::span<const int> levels) {
  const auto phase = static_cast<size_t>(operation.phase);
  for (int peer = 0; peer < static_cast<int>(operation.send_bytes.size()); ++peer) {
    if (peer == rank || operation.send_bytes[peer] == 0) continue;
    traffic.sent_bytes[phase] += operation.send_bytes[peer];
    ++traffic.sent_messages[phase];
    if (operation.phase != Phase::control)
      traffic.sent_by_level[levels.empty() ? 0 : levels[peer]] += operation.send_bytes[peer];
  }
}

void count_received(Traffic& traffic, const AllToAll& operation, int rank) {
  const auto phase = static_cast<size_t>(operation.phase);
  for (int peer = 0; peer < static_cast<int>(operation.recv_bytes.size()); ++peer) {
    if (peer != rank) traffic.received_bytes[phase] += operation.recv_bytes[peer];
  }
}

void copy_own_part(const AllToAll& operation, int rank) {
  const int64_t bytes = operation.send_bytes[rank];
  if (bytes == 0) return;
  const std::byte* from = operation.send + operation.send_offsets[rank];
  std::byte* to = operation.recv + operation.recv_offsets[rank];
  if (from != to) std::memcpy(to, from, bytes);
}

std::string name_ranks(std::span<const int> ranks) {
  SPARROW_CHECK(!ranks.empty());
  if (ranks.size() == 1) return fmt::format("rank {}", ranks.front());
  constexpr size_t kShown = 8;
  if (ranks.size() > kShown) {
    return fmt::format("ranks {} and {} more", fmt::join(ranks.first(kShown), ", "), ranks.size() - kShown);
  }
  return fmt::format("ranks {} and {}", fmt::join(ranks.first(ranks.size() - 1), ", "), ranks.back());
}

}  // namespace sparrow
