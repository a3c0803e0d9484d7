// Which rank trains which sample of a global batch, so that few rows need to move: the gradient of the batch does not
// depend on it.
//
// A row is at its holder; every other rank that trains a sample with it gets its value and sends a gradient back. On a
// tree, ranks of a domain ask together, by way of a proxy (layout/directory.hpp): a row enters each domain once. So a
// sample costs what its rows add to that: nothing for a row that the rank holds or needs anyway. Each rank gets exactly
// its quota of samples.
//
// The method. Level by level from the root, the samples of a domain are divided among its children, whose quotas are
// the sums of their ranks': first greedily, samples with the largest margin between their best and second-best child
// first, then in passes of refinement: each sample is taken out and put where it adds least, with a price per child that
// follows its load; a repair makes quotas exact, swaps improve what is left. Where nothing is gained, samples stay as they
// were read: at the first stage where both differ, fewer rows move than if samples were dealt in order, by the holders
// as they are known. Deterministic: no clock, no hash order, the same for any number of threads. No memory is taken once
// batches have reached their size. Among more than 64 children samples are divided in two steps (assigner_nodes.hpp).
//
// Files: assigner_nodes (the tree), assigner_division (one domain's samples among its children), assigner_refinement
// (passes), assigner_threads, assigner_moves (counting).
//
// Example: 2 ranks of 1 sample each; sample 0 looks up rows 0 and 2, sample 1 rows 1 and 2; rank 0 holds row 1, rank 1
// rows 0 and 2. As they come, rank 0 asks for 0 and 2, rank 1 for 1; sample 1 at rank 0 and 0 at rank 1: rank 0 asks for
// row 2 alone.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace sparrow {

/// The ranks as the assigner sees them.
struct AssignerTree {
  /// [level 0 .. depth][rank]: the rank's domain, as in layout/hierarchy.hpp; flat: {{0, 0, ..}, {0, 1, 2, ..}}.
  std::vector<std::vector<int>> domain_of;
  /// [level 1 .. depth - 1][domain]: ranks that take turns as proxies there; empty for a flat tree.
  std::vector<std::vector<std::vector<int>>> rings;

  static AssignerTree flat(int ranks);
  int ranks() const { return static_cast<int>(domain_of.front().size()); }
  int depth() const { return static_cast<int>(domain_of.size()) - 1; }
};

struct AssignerOptions {
  int passes = 1;   ///< of refinement
  int threads = 1;  ///< that work on one batch
};

/// The samples of a global batch and what is known of their rows. Rows are those that can be held by one rank: not
/// those with copies everywhere. Numbered 0 .. D-1 within the batch; a sample may name a row more than once.
struct AssignerBatch {
  static constexpr int16_t kNobody = -1;
  std::span<const int64_t> first;   ///< [samples + 1]
  std::span<const int32_t> rows;    ///< [first[samples]]: those of sample s are first[s] .. first[s + 1] - 1
  std::span<const int64_t> keys;    ///< [D], different from each other
  std::span<const int16_t> holder;  ///< [D]: rank, or kNobody: the row was never used
  std::span<const int64_t> turn;    ///< [D]: the proxy in a domain is ring[turn mod its size]; empty for a flat tree
  std::span<const float> weight;    ///< [D]: bytes of a row that moves; empty: all alike
  std::span<const int64_t> quota;   ///< [ranks]: samples of each; sums to the batch

  int64_t samples() const { return static_cast<int64_t>(first.size()) - 1; }
};

/// What an assignment moves, counted without the assigner.
struct AssignmentMoves {
  std::vector<int64_t> into;  ///< by stage (of the tree, 0 .. depth - 1): rows that enter a domain of level stage + 1
  std::vector<int64_t> distinct;  ///< by rank: rows its samples look up
  std::vector<int64_t> received;  ///< by rank: rows it asks others for, at any stage
};

class Assigner {
 public:
  Assigner(AssignerTree tree, const AssignerOptions& options);
  ~Assigner();
  Assigner(const Assigner&) = delete;
  Assigner& operator=(const Assigner&) = delete;

  /// rank_of_sample [samples]. Throws Error if quotas do not add up.
  void assign(const AssignerBatch& batch, std::span<int16_t> rank_of_sample);

  /// Who holds the rows that nobody held before: for each, one of the ranks that train a sample with it, chosen by its
  /// key, so that no rank gets more than others; on a tree one of the domains first, each as likely as it has ranks.
  /// Sets holder [D] for these, and leaves the others as they are. Uses the memory of assign: one thread at a time.
  void settle(const AssignerBatch& batch, std::span<const int16_t> rank_of_sample, std::span<int16_t> holder) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Counts what moves with these holders ([D], none kNobody).
AssignmentMoves count_moves(const AssignerTree& tree, const AssignerBatch& batch,
                            std::span<const int16_t> rank_of_sample, std::span<const int16_t> holder);

}  // namespace sparrow
