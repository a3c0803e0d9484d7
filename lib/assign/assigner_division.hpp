// Divides the samples of one node of the tree among its children (at most 64), so that few rows come to a child from
// elsewhere. Rows that the node's samples look up fall into three kinds:
//
//   once         looked up by one sample: cost nothing at the row's home, the same everywhere else
//   everywhere   looked up at every child whatever is done: cost the same
//   between      counted: which children look the row up, and which of them by one sample alone
//
// so that a sample is weighed by its few rows of the kind between. Arrays by row are small ones, for one purpose each:
// most of the time goes into reaching them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "assign/assigner.hpp"
#include "assign/assigner_nodes.hpp"
#include "assign/assigner_refinement.hpp"
#include "assign/assigner_threads.hpp"

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
  explicit Division(const AssignerOptions& options)
      : passes_(options.passes), threads_(options.threads), refinement_(threads_) {}

  /// child [samples of the task]: as quotas say, and no more weight to children from elsewhere than as read.
  void run(const DivisionTask& task, std::span<int16_t> child);

 private:
  static constexpr int16_t kNobody = -1, kAway = -2;  ///< homes: the first child is it; none of the children
  struct Uses {
    int32_t last;  ///< mark of the sample that was the last to look the row up
    int32_t count;
  };
  struct Share {
    float weight;  ///< of the row, divided by its uses; 0 without a home
    int32_t home;
  };

  int16_t home_of(const DivisionTask& task, int32_t row) const;
  void begin(const DivisionTask& task);
  double count_uses(const DivisionTask& task);
  double cost_as_read(const DivisionTask& task);
  void leave_repeats_out(const DivisionTask& task);
  /// The rows of a sample, each once.
  std::span<const int32_t> rows(const DivisionTask& task, int64_t i) const {
    if (!repeats_) return task.rows(i);
    return {once_.data() + once_first_[i], static_cast<size_t>(once_first_[i + 1] - once_first_[i])};
  }
  void score(const DivisionTask& task);
  void start(const DivisionTask& task, std::span<int16_t> child);
  double choose_kinds(const DivisionTask& task, std::span<const int16_t> child);
  void list_rows(const DivisionTask& task, int64_t begin, int64_t end);

  const int passes_;
  AssignerThreads threads_;
  Refinement refinement_;
  std::vector<int32_t> mine_;      ///< rows of the node, as they come
  std::vector<Uses> uses_;         ///< [D]
  std::vector<int16_t> home_;      ///< [D]: a child, or see above
  std::vector<Share> share_;       ///< [D]
  std::vector<uint64_t> touched_;  ///< [D]: children that look the row up at the start
  std::vector<int32_t> kind_;      ///< [D]: a row of the refinement, or below 0: kFree, or kOnce - home
  int32_t mark_ = 0;               ///< of the first sample of the next round
  bool repeats_ = false;           ///< whether some sample names a row twice
  std::vector<int32_t> once_;      ///< if so: the rows of every sample, each once
  std::vector<int64_t> once_first_;
  std::vector<float> score_;      ///< [samples][children]
  std::vector<uint16_t> margin_;  ///< [samples]: between the best child and the next, by its leading bits
  std::vector<int32_t> order_;    ///< samples, largest margin first
  std::vector<int32_t> buckets_;
  std::vector<int64_t> room_;
};

}  // namespace sparrow
