// Improves a division of samples among children sample by sample, and makes loads equal to quotas.
//
// A sample's gain at a child is the weight of its rows that cost nothing there: at home, or looked up there by other
// samples. In a sweep, blocks of samples are weighed against the state at the block's start (any number of threads),
// then those that gain elsewhere are moved one after another: to a child with room, or in exchange for a sample that
// gains the other way round. Loads may differ a little from quotas until the last sweeps; a price per
// child that follows its load keeps them together. Orders and sizes of blocks depend on the batch alone.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "assign/assigner_threads.hpp"

namespace sparrow {

class Refinement {
 public:
  static constexpr int32_t kMostLookups = 65535;  ///< of a row

  explicit Refinement(AssignerThreads& threads) : threads_(threads) {}

  /// Quotas by child, and the child of every sample, which run() changes. No rows, no entries.
  void begin(std::span<const int64_t> quota, std::span<int16_t> child);

  /// home: the child that has it, or below 0. nobody: it comes free to the first child. Returns its number.
  int32_t add_row(float weight, int home, bool nobody);

  /// For the next sample, which looks up so many rows, gains included.
  void make_room(int64_t rows) { first_.push_back(first_.back() + 2 * rows + 1); }
  void make_list() { list_.resize(std::max(list_.size(), static_cast<size_t>(first_.back()))); }
  /// What is known of one sample: first its gains, then its lookups.
  class Entry {
   public:
    /// It gains this at a child whatever the others do.
    void add_gain(int child, float weight) {
      *at_++ = child;
      *at_++ = std::bit_cast<int32_t>(weight);
    }
    void end_gains() { split_ = at_; }
    /// It looks up a row, each once.
    void add_lookup_if(bool really, int32_t row) {
      *at_ = row;
      at_ += really;
    }

   private:
    friend class Refinement;
    int32_t *begin_, *at_, *split_;
  };
  Entry entry(int64_t sample);
  void enter(int64_t sample, const Entry& entry);

  void run(int passes);

  /// Weight of the rows that come from elsewhere to some child.
  double cost() const;

 private:
  struct Row {
    uint64_t touched, single, home;  ///< children that look it up, that do so for one sample alone, that have it
    float weight;
    bool nobody;
  };
  struct Lengths {
    int32_t gains, all;  ///< numbers in the list
  };
  template <int kVectors>
  struct Gains;
  void count_lookups();
  template <int kVectors>
  void run_wide(int passes);
  template <int kVectors>
  void sweep(double slack, bool priced);
  template <int kVectors>
  int16_t wanted(int64_t sample) const;
  template <int kVectors>
  void repair();
  template <int kVectors>
  void weigh(int64_t sample, Gains<kVectors>& gains) const;
  template <int kVectors>
  void exchange(int64_t sample, int to);
  void move(int64_t sample, int to);
  template <int kVectors>
  int best_below_quota(const Gains<kVectors>& gains) const;

  std::span<const int32_t> gains(int64_t sample) const {
    return {&list_[first_[sample]], static_cast<size_t>(lengths_[sample].gains)};
  }
  std::span<const int32_t> lookups(int64_t sample) const {
    const auto [gains, all] = lengths_[sample];
    return {&list_[first_[sample] + gains], static_cast<size_t>(all - gains)};
  }
  int64_t nth(int64_t i) const { return i * stride_ % samples_; }
  int64_t next(int64_t sample) const {
    return sample + stride_ < samples_ ? sample + stride_ : sample + stride_ - samples_;
  }

  AssignerThreads& threads_;
  int64_t samples_ = 0;
  int children_ = 0;
  std::span<const int64_t> quota_;
  std::span<int16_t> child_;  ///< [samples]
  std::vector<Row> rows_;
  std::vector<uint16_t> counts_;   ///< [rows][children]
  std::vector<int32_t> list_;      ///< of each sample: gains as pairs (child, bits of the weight), then rows
  std::vector<int64_t> first_;     ///< [samples + 1]: where in the list
  std::vector<Lengths> lengths_;   ///< [samples]
  std::vector<int64_t> load_;      ///< [children]
  std::vector<int64_t> cap_;       ///< [children]: most load in this sweep
  std::vector<float> price_;       ///< [children], padded: infinite where there is no quota
  int64_t stride_ = 1;             ///< from one sample to the next in a sweep, modulo samples
  std::vector<int16_t> wanted_;    ///< [samples of a block]
  std::vector<int32_t> waiting_;   ///< [children][children][kWaiting]: samples that gained at a child that was full
  std::vector<int32_t> waits_;     ///< [children][children]: how many there are
  std::vector<int64_t> of_child_;  ///< samples of one child
  std::vector<std::pair<float, int64_t>> losses_;
};

}  // namespace sparrow
