// A stream of samples as lists of rows, trained batch by batch under a way to assign samples: how many rows move, counted
// without training anything. Rows are held by the rank that uses them first.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "assign/assigner.hpp"

namespace sparrow::bench {

struct Trace {
  int tables = 0;
  int32_t rows = 0;          ///< different ones
  std::vector<int32_t> ids;  ///< [samples][tables], numbered over all tables in order of first use

  int64_t samples() const { return std::ssize(ids) / tables; }
};

/// The first samples of Criteo files.
Trace read_trace(const std::vector<std::string>& files, int64_t samples);
/// Samples of the shape of Criteo Kaggle.
Trace generate_trace(int64_t samples, uint64_t seed);

/// One global batch, its rows numbered in order of first use.
class TraceBatch {
 public:
  explicit TraceBatch(const Trace& trace) : trace_(trace), number_(trace.rows, -1) {}
  /// Samples first .. first + sum of quota - 1. holder: [rows of the trace].
  void set(int64_t first, std::span<const int64_t> quota, std::span<const int16_t> holder);
  const AssignerBatch& batch() const { return batch_; }
  int64_t key(size_t d) const { return keys_[d]; }

 private:
  const Trace& trace_;
  std::vector<int32_t> number_, rows_;
  std::vector<int64_t> first_, keys_, quota_;
  std::vector<int16_t> holder_;
  AssignerBatch batch_;
};

struct Shape {
  int ranks = 8;
  int64_t per_rank = 1024;
};

struct TraceOptions {
  Shape shape;
  AssignerTree tree;  ///< of the shape's ranks
  AssignerOptions assigner;
  int delay = 1;        ///< holders are known as they were before so many batches
  int parts = 1;        ///< of every global batch, each assigned without knowing the others
  int64_t most = 1000;  ///< batches
};

struct TraceFigures {
  double late = 0, whole = 0;  ///< factors: how many times fewer rows move than table-wise without deduplication,
                               ///< after the first third, and in all
  double busiest = 0;          ///< rank, by rows it receives, over the mean, after the first third
  double us = 0;               ///< per sample, of assigning: median over batches, processor time
  double distinct = 0;         ///< rows per rank over its lookups
  double into_nodes = 0;       ///< rows that enter children of the root, per sample
};

TraceFigures run_trace(const Trace& trace, const TraceOptions& options);

/// Rows that table-wise placement without deduplication moves, there and back: 2 (N - 1) / N per lookup.
double naive_moves(int64_t samples, int tables, int ranks);

/// Samples to whoever caches their rows, as Herald (Zeng et al., NSDI 2024) does it, as far as the paper says: workers
/// around a parameter server keep rows that they have read; one that no other worker has updated since is used without
/// asking. Samples with the largest margin first go to the worker with most of their rows that has room. A row that one
/// worker alone used stays there, and is written back when another wants it or when its place is needed; one that
/// several used is written back by each. cache: rows of a worker's cache; the least recently used leaves it. Sets late
/// and whole.
TraceFigures run_herald(const Trace& trace, const Shape& shape, int64_t cache);

}  // namespace sparrow::bench
