// Section `data` of the configuration (see configs/reference.yaml for every key).
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.hpp"
#include "data/criteo.hpp"

namespace sparrow {

enum class GeneratedFormat : uint8_t { tsv, npy };
template <>
inline constexpr Word kWords<GeneratedFormat>[] = {"tsv", "npy"};

enum class CriteoSet : uint8_t { terabyte, kaggle };
template <>
inline constexpr Word kWords<CriteoSet>[] = {"terabyte", "kaggle"};

/// How categories become row ids.
enum class Vocabulary : uint8_t { hash, file };
template <>
inline constexpr Word kWords<Vocabulary>[] = {"hash", {"file", kLater}};

/// What is divided among the ranks.
enum class DataSplit : uint8_t { batches, ranks };
template <>
inline constexpr Word kWords<DataSplit>[] = {"batches", "ranks"};

/// Arguments of `sparrow generate` inside a configuration, so that a config is self-contained.
struct GenerateOptions {
  std::string out;  ///< folder for the shards
  int64_t samples = 0;
  int shards = 1;
  uint64_t seed = 1;
  double scale = 1.0;  ///< cardinalities of the tables are multiplied by this
  GeneratedFormat format = GeneratedFormat::tsv;
  bool gzip = false;
  CriteoSet like = CriteoSet::terabyte;
};

template <class Visitor>
void visit_fields(Visitor& visit, GenerateOptions& options) {
  visit("out", options.out, NotEmpty{});
  visit("samples", options.samples, Integers{1});
  visit("shards", options.shards, Integers{1, 100000});
  visit("seed", options.seed, Integers{0});
  visit("scale", options.scale, Reals{1e-9, 2});
  visit("format", options.format);
  visit("gzip", options.gzip);
  visit("like", options.like);
  visit.require(options.samples > 0, {"samples"}, "at least 1");
  visit.require(!options.gzip || options.format == GeneratedFormat::tsv, {"gzip"}, "npy shards are not compressed");
  visit.require(options.shards <= options.samples, {"shards"}, "{} shards for {} samples", options.shards,
                options.samples);
}

struct DataOptions {
  std::vector<std::string> train;  ///< files or globs, read in this order
  std::vector<std::string> eval;
  int64_t eval_tail = 0;  ///< hold out the last this many samples of `train`
  std::optional<GenerateOptions> generate;
  Vocabulary vocabulary = Vocabulary::hash;
  std::vector<int64_t> max_rows = {1000000};  ///< one for all tables, or one per table
  std::string counts;
  int64_t count_samples = 200000;
  int64_t skip_bad_lines = 0;
  int64_t shuffle_window = 0;
  DataSplit split = DataSplit::batches;
  std::vector<int> bag_sizes;  ///< lookups per table; empty: as in the data
};

template <class Visitor>
void visit_fields(Visitor& visit, DataOptions& options) {
  constexpr int64_t kMostRows = std::numeric_limits<int32_t>::max();  // of a table: row ids are int32 in npy shards
  visit("train", options.train);
  visit("eval", options.eval);
  visit("eval_tail", options.eval_tail, Integers{0});
  visit.require(options.eval.empty() || options.eval_tail == 0, {"eval_tail"}, "data.eval is set too; one of them");
  visit("generate", options.generate);
  visit("vocabulary", options.vocabulary);
  visit("max_rows", options.max_rows, Integers{1, kMostRows}, PerTable{kCriteoTables, true});
  visit("counts", options.counts);
  visit("count_samples", options.count_samples, Integers{0});
  visit("skip_bad_lines", options.skip_bad_lines, Integers{0});
  visit("shuffle_window", options.shuffle_window, Integers{0});
  visit("split", options.split);
  visit.require(options.split == DataSplit::batches || options.shuffle_window == 0, {"split"},
                "data.shuffle_window would mix the parts of the ranks; one of them");
  visit("bag_sizes", options.bag_sizes, Integers{1, 1 << 20}, PerTable{kCriteoTables});
}

}  // namespace sparrow
