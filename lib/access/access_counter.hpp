// Counts how often rows are looked up while a run trains, in memory that does not grow with the tables: what
// re-planning is decided from.
//
// Per table
//   head     positions 0 .. exact_rows - 1 (the hottest when positions were made) have an exact counter each;
//   tracked  of the other rows, the `tracked_rows` that are looked up most have one each (Misra and Gries, 1982, in the
//            batched form: when there are more, the median m of their counts is taken from all of them, and those left
//            without any are forgotten);
//   ranges   lookups of all rows beyond the head by range of positions (four to the octave), exact.
//
// Error of a tracked row. A purge takes m from at least K / 2 counters (K = tracked_rows) that have m or more, so it
// takes at least m K / 2 of the lookups counted. All purges together have taken at most the N lookups beyond the head,
// hence with D = the sum of all m
//     estimate <= true count <= estimate + D,     D <= 2 N / K,
// a row that is not tracked having the estimate 0. Merging adds counts and D's, and purges again: the argument, and the
// bound with N the sum of both, stay as they are (Agarwal et al., Mergeable Summaries, PODS 2012). So a row that the
// counter does not know has less than 2 / K of the table's lookups. K is chosen such that this is rare within a batch:
// what is touched less than once per batch costs the same wherever its count comes from (u = B p), and its range's sum
// is exact.
//
// Time. scale(1/2), once per consideration of a plan, makes counts fade: n considerations ago they weigh 2^-n. Scaling
// by powers of 2 is exact, and scales N, D and the counts alike: the bound holds for faded counts.
//
// Counts depend on the lookups and their order alone: the same run gives the same counts, and so does one that is
// resumed from serialize().
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/batch.hpp"

namespace sparrow {

/// Counts of single rows, some of them: see above. Open addressing, in insertion order of no consequence.
class TrackedRows {
 public:
  explicit TrackedRows(int64_t most_rows = 0);
  void add(int64_t position, double count);
  double estimate(int64_t position) const;
  void scale(double factor);
  /// What was taken off every count so far: D.
  double most_missed() const { return missed_; }
  void add_missed(double missed) { missed_ += missed; }
  /// (position, count), by position.
  std::vector<std::pair<int64_t, double>> rows() const;
  int64_t bytes() const;

 private:
  struct Entry {
    int64_t position = -1;  ///< -1: free
    double count = 0;
  };
  Entry& find(int64_t position);
  void purge();

  int64_t most_rows_;
  int64_t used_ = 0;
  double missed_ = 0;
  std::vector<Entry> entries_;  ///< a power of 2, at most half of them used
  std::vector<double> counts_;  ///< scratch of purge
};

struct AccessCounterOptions {
  int64_t exact_rows = 1 << 15;    ///< of each table: 8 bytes each
  int64_t tracked_rows = 1 << 14;  ///< of each table: 40 to 72 bytes each
};

class AccessCounter {
 public:
  explicit AccessCounter(std::span<const int64_t> rows, const AccessCounterOptions& options = {});

  /// A counter of the same tables and options that has counted nothing.
  AccessCounter emptied() const;

  /// Adds the lookups of a rank's part of a batch. Positions must be in their tables.
  void count(const Batch& batch);

  /// All counts times `factor` <= 1: a power of 2 keeps them exact.
  void scale(double factor);

  /// Adds another rank's counts, of the same tables and options.
  void merge(const AccessCounter& other);

  int tables() const { return static_cast<int>(tables_.size()); }
  double lookups(int table) const;  ///< of the table, faded
  /// Exact counts of positions 0, 1, ...: of all rows where the table has no more than exact_rows.
  std::span<const double> head(int table) const { return of(table).head; }
  const TrackedRows& tracked(int table) const { return of(table).tracked; }

  /// Positions [first, end) beyond the head, and their lookups.
  struct Range {
    int64_t first = 0, end = 0;
    double lookups = 0;
  };
  std::vector<Range> ranges(int table) const;

  /// As bytes, and back into a counter of the same tables and options. Throws Error if they are of another.
  std::string serialize() const;
  void restore(std::string_view bytes);

  int64_t bytes() const;  ///< of memory

 private:
  struct Table {
    int64_t rows = 0;
    std::vector<double> head, range_lookups;
    TrackedRows tracked;
  };
  const Table& of(int table) const { return tables_[table]; }

  AccessCounterOptions options_;
  std::vector<Table> tables_;
};

}  // namespace sparrow
