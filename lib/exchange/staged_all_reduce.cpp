#include "exchange/staged_all_reduce.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace sparrow {

StagedAllReduce::StagedAllReduce(Backend& backend, Comm& group, const Hierarchy& hierarchy, int64_t n, DType wire)
    : backend_(backend), comms_(group, group, hierarchy), n_(n), transfer_(backend, 1, wire) {
  int64_t most = 0;
  for (int level = 0; level < hierarchy.depth(); ++level) {
    plan_stage(hierarchy, level, group.rank());
    int64_t given = 0, taken = 0;
    for (const Piece& piece : stages_.back().given) given += piece.end - piece.begin;
    for (const Piece& piece : stages_.back().taken) taken += piece.end - piece.begin;
    most = std::max({most, given, taken});
    for (const auto& [begin, end] : stages_.back().owned) most = std::max(most, end - begin);
  }
  const int64_t recv = wire == DType::f32 ? 0 : most;
  transfer_.reserve({most * size_of(wire), recv * size_of(wire)});
  received_ = Array<float>(backend_, Memory::device, most, MemoryPart::exchange);
}

/// Who owns which elements of the sum over `domain`, ascending. Recursive: a domain's owners follow from its
/// children's.
std::vector<StagedAllReduce::Owner> StagedAllReduce::owners(const Hierarchy& hierarchy, int level, int domain) {
  if (level == hierarchy.depth()) return {{0, n_, hierarchy.members(level, domain)[0]}};
  std::vector<std::vector<Owner>> children;
  for (const int child : hierarchy.children(level, domain)) children.push_back(owners(hierarchy, level + 1, child));
  std::vector<Owner> result;
  std::vector<size_t> at(children.size(), 0);
  const auto count = static_cast<int64_t>(children.size());
  for (int64_t begin = 0; begin < n_;) {
    int64_t end = n_;  // of the longest run that has one owner in every child
    for (size_t c = 0; c < children.size(); ++c) end = std::min(end, children[c][at[c]].end);
    for (int64_t c = 0; c < count; ++c) {
      const int64_t first = begin + (end - begin) * c / count, last = begin + (end - begin) * (c + 1) / count;
      if (first < last) result.push_back({first, last, children[c][at[c]].rank});
    }
    for (size_t c = 0; c < children.size(); ++c)
      if (children[c][at[c]].end == end) ++at[c];
    begin = end;
  }
  return result;
}

void StagedAllReduce::plan_stage(const Hierarchy& hierarchy, int level, int rank) {
  const int domain = hierarchy.domain(level, rank), own_child = hierarchy.domain(level + 1, rank);
  const std::vector<Owner> after = owners(hierarchy, level, domain);
  Stage stage;
  const auto overlap = [&](const Owner& a, const Owner& b, std::vector<Piece>& pieces, int peer) {
    const int64_t begin = std::max(a.begin, b.begin), end = std::min(a.end, b.end);
    if (begin < end) pieces.push_back({comms_.peer(level, peer), begin, end});
  };
  for (const Owner& owner : after)
    if (owner.rank == rank) stage.owned.emplace_back(owner.begin, owner.end);
  for (const int child : hierarchy.children(level, domain)) {
    const std::vector<Owner> before = owners(hierarchy, level + 1, child);
    for (const Owner& then : before)
      for (const Owner& now : after) {
        if (then.rank == rank && now.rank != rank) overlap(then, now, stage.given, now.rank);
        if (now.rank == rank && child != own_child) overlap(then, now, stage.taken, then.rank);
      }
  }
  const auto by_peer = [](const Piece& a, const Piece& b) {
    return std::pair(a.peer, a.begin) < std::pair(b.peer, b.begin);
  };
  std::sort(stage.given.begin(), stage.given.end(), by_peer);
  std::sort(stage.taken.begin(), stage.taken.end(), by_peer);
  stages_.push_back(std::move(stage));
}

/// Packs the pieces to send and leaves what came in received_, in the order of `receive`.
void StagedAllReduce::exchange(Stream& stream, int stage, const std::vector<Piece>& send,
                               const std::vector<Piece>& receive, float* values) {
  const auto count = [&](const std::vector<Piece>& pieces, ItemsByRank& counts) {
    counts.count.assign(comms_.sizes()[stage], 0);
    counts.offset.resize(counts.count.size());
    for (const Piece& piece : pieces) counts.count[piece.peer] += piece.end - piece.begin;
    counts.sum_up();
  };
  count(send, sent_counts_);
  count(receive, received_counts_);
  const Matrix packed = transfer_.outgoing(sent_counts_.total);
  auto* to = static_cast<std::byte*>(packed.data);
  for (const Piece& piece : send) {
    const int64_t n = piece.end - piece.begin;
    backend_.convert(stream, Matrix::f32(values + piece.begin, 1, n), Matrix::of(packed.type, to, 1, n));
    to += n * size_of(packed.type);
  }
  transfer_.exchange(stream, {comms_.device(stage), Phase::allreduce, sent_counts_, received_counts_}, packed,
                     received_.data());
}

void StagedAllReduce::sum(Stream& stream, float* values) {
  const int count = static_cast<int>(stages_.size());
  for (int s = count - 1; s >= 0; --s) {
    const Stage& stage = stages_[s];
    exchange(stream, s, stage.given, stage.taken, values);
    int64_t at = 0;
    for (const Piece& piece : stage.taken) {
      // values += what came: a step of SGD at rate -1
      backend_.update_dense(stream, {OptimizerKind::sgd, -1.0f, 0.0f}, values + piece.begin, received_.data() + at,
                            nullptr, piece.end - piece.begin);
      at += piece.end - piece.begin;
    }
  }
  if (count > 0)  // owners keep what the others will get
    for (const auto& [begin, end] : stages_[0].owned) transfer_.round(stream, values + begin, end - begin);
  for (int s = 0; s < count; ++s) {
    const Stage& stage = stages_[s];
    exchange(stream, s, stage.taken, stage.given, values);
    int64_t at = 0;
    for (const Piece& piece : stage.given) {
      backend_.copy(stream, values + piece.begin, received_.data() + at, (piece.end - piece.begin) * 4);
      at += piece.end - piece.begin;
    }
  }
}

}  // namespace sparrow
