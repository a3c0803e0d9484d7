// Section `data` of the configuration (see configs/reference.yaml for every key).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sparrow {

/// Arguments of `sparrow generate` inside a configuration, so that a config is self-contained.
struct GenerateOptions {
  std::string out;      ///< folder for the shards
  int64_t samples = 0;  ///< 0: nothing is generated
  int shards = 1;
  uint64_t seed = 1;
  double scale = 1.0;          ///< cardinalities of the tables are multiplied by this
  std::string format = "tsv";  ///< tsv | npy
  bool gzip = false;
  std::string like = "terabyte";  ///< terabyte | kaggle
};

struct DataOptions {
  std::vector<std::string> train;  ///< files or globs, read in this order
  std::vector<std::string> eval;
  int64_t eval_tail = 0;  ///< hold out the last this many samples of `train`
  GenerateOptions generate;
  std::string vocabulary = "hash";            ///< hash | file
  std::vector<int64_t> max_rows = {1000000};  ///< one for all tables, or one per table
  std::string counts;
  int64_t count_samples = 200000;
  int64_t skip_bad_lines = 0;
  int64_t shuffle_window = 0;
  std::string split = "batches";  ///< batches | ranks
  std::vector<int> bag_sizes;     ///< lookups per table; empty: as in the data
};

}  // namespace sparrow
