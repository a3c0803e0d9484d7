// What an assignment moves, counted by walking every request from stage to stage as directories do.
#include <algorithm>

#include "assign/assigner.hpp"
#include "base/error.hpp"

namespace sparrow {

namespace {

/// The ranks that look up each row: those of row d are ranks[first[d]] .. ranks[first[d] + count[d] - 1], ascending,
/// each once.
struct Askers {
  std::vector<int64_t> first, count;
  std::vector<int16_t> ranks;
};

Askers find_askers(const AssignerBatch& batch, std::span<const int16_t> rank_of_sample) {
  const size_t rows = batch.keys.size();
  Askers askers{std::vector<int64_t>(rows + 1, 0), std::vector<int64_t>(rows, 0), {}};
  for (const int32_t row : batch.rows) ++askers.first[row + 1];
  for (size_t d = 0; d < rows; ++d) askers.first[d + 1] += askers.first[d];
  askers.ranks.resize(batch.rows.size());
  for (int64_t s = 0; s < batch.samples(); ++s)
    for (int64_t i = batch.first[s]; i < batch.first[s + 1]; ++i) {
      const int32_t row = batch.rows[i];
      askers.ranks[askers.first[row] + askers.count[row]++] = rank_of_sample[s];
    }
  for (size_t d = 0; d < rows; ++d) {
    const auto begin = askers.ranks.begin() + askers.first[d];
    std::sort(begin, begin + askers.count[d]);
    askers.count[d] = std::unique(begin, begin + askers.count[d]) - begin;
  }
  return askers;
}

}  // namespace

AssignmentMoves count_moves(const AssignerTree& tree, const AssignerBatch& batch,
                            std::span<const int16_t> rank_of_sample, std::span<const int16_t> holder) {
  SPARROW_CHECK(std::ssize(rank_of_sample) == batch.samples() && holder.size() == batch.keys.size());
  const int ranks = tree.ranks(), depth = tree.depth();
  AssignmentMoves moves{std::vector<int64_t>(depth, 0), std::vector<int64_t>(ranks, 0), std::vector<int64_t>(ranks, 0)};
  const Askers askers = find_askers(batch, rank_of_sample);
  std::vector<int> asking, asked;
  for (size_t d = 0; d < batch.keys.size(); ++d) {
    const auto begin = askers.ranks.begin() + askers.first[d];
    asking.assign(begin, begin + askers.count[d]);
    for (const int rank : asking) ++moves.distinct[rank];
    for (int stage = depth - 1; stage >= 0; --stage) {
      const std::vector<int>& domain = tree.domain_of[stage];
      asked.clear();
      for (const int rank : asking) {
        int of = holder[d];
        if (domain[of] != domain[rank]) {
          const std::vector<int>& ring = tree.rings[stage - 1][domain[rank]];
          of = ring[batch.turn[d] % std::ssize(ring)];
        }
        moves.received[rank] += of != rank;
        moves.into[stage] += tree.domain_of[stage + 1][of] != tree.domain_of[stage + 1][rank];
        asked.push_back(of);
      }
      std::sort(asked.begin(), asked.end());
      asked.erase(std::unique(asked.begin(), asked.end()), asked.end());
      asking.swap(asked);
    }
  }
  return moves;
}

}  // namespace sparrow
