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
constexpr auto words_of(GeneratedFormat) {
  return std::to_array<Word<GeneratedFormat>>({{"tsv", GeneratedFormat::tsv}, {"npy", GeneratedFormat::npy}});
}

enum class CriteoSet : uint8_t { terabyte, kaggle };
constexpr auto words_of(CriteoSet) {
  return std::to_array<Word<CriteoSet>>({{"terabyte", CriteoSet::terabyte}, {"kaggle", CriteoSet::kaggle}});
}

/// How categories become row ids.
enum class Vocabulary : uint8_t { hash, file };
constexpr auto words_of(Vocabulary) {
  return std::to_array<Word<Vocabulary>>({{"hash", Vocabulary::hash}, {"file", Vocabulary::file, true}});
}

/// What is divided among the ranks.
enum class DataSplit : uint8_t { batches, ranks };
constexpr auto words_of(DataSplit) {
  return std::to_array<Word<DataSplit>>({{"batches", DataSplit::batches}, {"ranks", DataSplit::ranks}});
}

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
  visit("samples", options.samples, at_least(1));
  visit("shards", options.shards, between(1, 100000));
  visit("seed", options.seed, at_least(0));
  visit("scale", options.scale, between(1e-9, 2.0));
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
  visit("eval_tail", options.eval_tail, at_least(0));
  visit.require(options.eval.empty() || options.eval_tail == 0, {"eval_tail"}, "data.eval is set too; one of them");
  visit("generate", options.generate);
  visit("vocabulary", options.vocabulary);
  visit("max_rows", options.max_rows, between(1, kMostRows), PerTable{kCriteoTables, true});
  visit("counts", options.counts);
  visit("count_samples", options.count_samples, at_least(0));
  visit("skip_bad_lines", options.skip_bad_lines, at_least(0));
  visit("shuffle_window", options.shuffle_window, at_least(0));
  visit("split", options.split);
  visit.require(options.split == DataSplit::batches || options.shuffle_window == 0, {"split"},
                "data.shuffle_window would mix the parts of the ranks; one of them");
  visit("bag_sizes", options.bag_sizes, between(1, 1 << 20), PerTable{kCriteoTables});
}

}  // namespace sparrow
