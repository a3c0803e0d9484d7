// Improves a division of samples among children sample by sample, and makes loads equal to quotas.
//
// A sample's gain at a child is the weight of its rows that cost nothing there: at home, or looked up there by other
// samples. In a sweep, blocks of samples are weighed against the state at the block's start (any number of threads, each
// sample by itself), then those that gain elsewhere are moved one after another: to a child with room, or in exchange
// for a sample that gains the other way round. A price per child follows its load. Orders and sizes of blocks depend on
// the batch alone.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace sparrow {

class Refinement {
 public:
  static constexpr int32_t kMostLookups = 65535;  ///< of a row

  struct Row {
    uint64_t touched, single, home;  ///< children that look it up, that do so for one sample alone, that have it
    float weight;
    bool nobody;  ///< holds it: it comes free to the first child
  };

  /// No rows, and so many samples and children; samples are entered one after another, then refined.
  void begin(int64_t samples, std::span<const int64_t> quota, std::span<int16_t> child);

  /// Returns the number of a new row.
  int32_t add_row(float weight, int home, bool nobody);
  /// The next sample gains this at a child whatever the others do.
  void add_gain(int child, float weight) {
    list_.push_back(child);
    list_.push_back(std::bit_cast<int32_t>(weight));
  }
  void end_gains() { split_.push_back(static_cast<int32_t>(list_.size())); }
  /// It looks up a row; behind its gains, each row once.
  void add_lookup(int32_t row);
  void end_sample() { first_.push_back(static_cast<int64_t>(list_.size())); }

  void run(int passes);

  /// Weight of the rows that come from elsewhere to some child.
  double cost() const;

 private:
  template <int kVectors>
  struct Gains;
  template <int kVectors>
  void run_wide(int passes);
  template <int kVectors>
  void sweep(double slack, bool priced);
  template <int kVectors>
  void repair();
  template <int kVectors>
  void weigh(int64_t sample, Gains<kVectors>& gains) const;
  template <int kVectors>
  bool exchange(int64_t sample, int to);
  void move(int64_t sample, int to);

  int64_t samples_ = 0;
  int children_ = 0;
  std::span<const int64_t> quota_;
  std::span<int16_t> child_;  ///< [samples]
  std::vector<Row> rows_;
  std::vector<uint16_t> counts_;  ///< [rows][children]
  std::vector<int32_t> list_;     ///< of each sample: gains as pairs (child, bits of the weight), then rows
  std::vector<int64_t> first_;    ///< [samples + 1] into the list
  std::vector<int32_t> split_;    ///< [samples]: where the gains end
  std::vector<int64_t> load_;     ///< [children]
  std::vector<int64_t> cap_;
  std::vector<float> price_;       ///< [children], padded: infinite where there is no quota
  std::vector<int16_t> wanted_;    ///< [samples of a block]
  std::vector<int32_t> waiting_;   ///< [children][children][kWaiting]: samples that gained at a child that was full
  std::vector<int32_t> waits_;     ///< [children][children]: how many were noted
  std::vector<int64_t> of_child_;  ///< samples of one child
  std::vector<std::pair<float, int64_t>> losses_;
};

}  // namespace sparrow
