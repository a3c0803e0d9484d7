// Divides the samples of one node of the tree among its children (at most 64), so that few rows come to a child from
// elsewhere. Rows that the node's samples look up fall into three kinds:
//
//   once         looked up by one sample: cost nothing at the row's home, the same everywhere else
//   everywhere   looked up at every child whatever is done: cost the same
//   between      counted: which children look the row up, and which of them by one sample alone
//
// so that a sample is weighed by its few rows of the kind between.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "assign/assigner.hpp"
#include "assign/assigner_nodes.hpp"
#include "assign/assigner_refinement.hpp"

namespace sparrow {

/// What is divided.
struct DivisionTask {
  const AssignerNodes& nodes;
  const AssignerBatch& batch;
  int level, node;
  std::span<const int32_t> samples;  ///< of the node, ascending
  std::span<const int64_t> quota;    ///< by child
  std::span<const int16_t> as_read;  ///< [samples]: child that would get the sample if they were dealt in order
  std::span<const int32_t> future;   ///< [D], of rows that nobody holds: the node of this level that will

  int64_t size() const { return std::ssize(samples); }
  int children() const { return static_cast<int>(quota.size()); }
  std::span<const int32_t> rows(int64_t i) const {
    const int32_t s = samples[i];
    return batch.rows.subspan(batch.first[s], batch.first[s + 1] - batch.first[s]);
  }
  float weight(int32_t row) const { return batch.weight.empty() ? 1.0f : batch.weight[row]; }
};

class Division {
 public:
  explicit Division(const AssignerOptions& options) : options_(options) {}

  /// child [samples of the task]: as quotas say, and no more weight to children from elsewhere than as read.
  void run(const DivisionTask& task, std::span<int16_t> child);

  /// Which children look a row of the task up, after run.
  uint64_t touched(int32_t row) const { return touched_[row]; }

 private:
  static constexpr int16_t kNobody = -1, kAway = -2;  ///< homes: the first child is it; none of the children
  static constexpr int32_t kNew = -1, kEverywhere = -2;
  struct Row {
    int32_t uses;
    int32_t last;  ///< mark of the sample that was the last to look it up
    int32_t row;   ///< of the refinement
    int16_t home;
  };

  int16_t home_of(const DivisionTask& task, int32_t row) const;
  void count_uses(const DivisionTask& task);
  template <class Visit, class Finish>
  void each_row_once(const DivisionTask& task, Visit visit, Finish finish);
  void score(const DivisionTask& task);
  void start(const DivisionTask& task, std::span<int16_t> child);
  double touch(const DivisionTask& task, std::span<const int16_t> child);
  double list_rows(const DivisionTask& task, std::span<int16_t> child);

  const AssignerOptions options_;
  Refinement refinement_;
  std::vector<Row> rows_;          ///< [D]
  std::vector<uint64_t> touched_;  ///< [D]
  int32_t mark_ = 0;
  bool repeats_ = false;          ///< whether some sample names a row twice
  std::vector<float> score_;      ///< [samples][children]
  std::vector<uint16_t> margin_;  ///< [samples]: between the best child and the next, by its leading bits
  std::vector<int32_t> order_;    ///< samples, largest margin first
  std::vector<int32_t> buckets_;
  std::vector<int64_t> room_;
  std::vector<int32_t> lookups_;  ///< of one sample, counted
};

}  // namespace sparrow
