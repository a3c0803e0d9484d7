// metrics.jsonl: what a run tells while it trains, for programs to read.
#pragma once

#include <cstdint>
#include <fstream>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "train/evaluation.hpp"

namespace sparrow {

nlohmann::json to_json(const Metrics& metrics);

/// Records of metrics.jsonl, one JSON object per line, flushed line by line. Rank 0 only.
class MetricsFile {
 public:
  /// append: a resumed run adds to what is there. Throws Error if the file cannot be written.
  MetricsFile(const std::string& path, bool append);
  void step(int64_t step, int64_t samples, double loss, double seconds, double learning_rate_factor);
  void evaluation(int64_t step, int64_t samples, const Metrics& metrics, double seconds);
  void record(const std::string& line);  ///< one JSON object with at least step and samples

 private:
  std::string path_;
  std::ofstream file_;
};

}  // namespace sparrow
