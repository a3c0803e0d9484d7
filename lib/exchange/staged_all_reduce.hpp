// All-reduce over the ranks of a hierarchy: reduce-scatter stage by stage from the leaves to the root, then all-gather
// the same way back. Every byte is counted at its stage, and on equal trees each stage moves 2 (c - 1) / c of the
// vector per child domain, c children, which is the least possible.
//
// After the reduce-scatter of a stage, each domain has the sum over its ranks, in pieces: one owner per element. A
// stage splits every run of elements among the children of the domain; child k's owner of the k-th part becomes the
// domain's. Example, 2 nodes of 2 ranks, 8 elements. Stage 1 (in a node): rank 0 owns 0..3, rank 1 owns 4..7, likewise
// ranks 2 and 3. Stage 0 (between nodes): ranks 0 and 2 share 0..3, so rank 0 owns 0 1, rank 2 owns 2 3; rank 1 owns 4
// 5, rank 3 owns 6 7. All-gather: 0 and 2 swap pieces, then 0 and 1.
//
// Nothing is assumed about the sizes of domains. Each element is added by one rank in a fixed order and copied to all
// others, so all ranks end with the same bits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "exchange/row_transfer.hpp"
#include "exchange/stage_comms.hpp"

namespace sparrow {

class StagedAllReduce {
 public:
  /// Collective over `group`, which moves device memory and whose ranks are the hierarchy's. For vectors of n floats in
  /// device memory; wire: their type between ranks.
  StagedAllReduce(Backend& backend, Comm& group, const Hierarchy& hierarchy, int64_t n, DType wire);

  /// Collective. values [n] become the sums over all ranks. With bf16 on the wire the sums are rounded to it, equally
  /// on all ranks.
  void sum(Stream& stream, float* values);

  Traffic traffic() const { return comms_.traffic(); }
  const StageComms& comms() const { return comms_; }

 private:
  /// Elements [begin, end) exchanged with a peer of the stage.
  struct Piece {
    int peer;
    int64_t begin, end;
  };
  /// What one stage moves in the reduce-scatter; the all-gather moves the same the other way.
  struct Stage {
    std::vector<Piece> given;  ///< parts of what this rank owned before, to their new owners; ascending by peer
    std::vector<Piece> taken;  ///< the other children's parts of what this rank owns from now on
    std::vector<std::pair<int64_t, int64_t>> owned;  ///< from now on
  };
  struct Owner {
    int64_t begin, end;
    int rank;
  };
  std::vector<Owner> owners(const Hierarchy& hierarchy, int level, int domain);
  void plan_stage(const Hierarchy& hierarchy, int level, int rank);
  void exchange(Stream& stream, int stage, const std::vector<Piece>& send, const std::vector<Piece>& receive,
                float* values);

  Backend& backend_;
  StageComms comms_;
  int64_t n_;
  RowTransfer transfer_;  ///< of single values
  std::vector<Stage> stages_;
  Array<float> received_;
  ItemsByRank sent_counts_{0}, received_counts_{0};
};

}  // namespace sparrow
