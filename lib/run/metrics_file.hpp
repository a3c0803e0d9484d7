// metrics.jsonl: what a run tells while it trains, for programs to read.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

#include "train/evaluation.hpp"

namespace sparrow {

/// Records of metrics.jsonl, one JSON object per line, flushed line by line. Rank 0 only.
class MetricsFile {
 public:
  /// append: a resumed run adds to what is there. Throws Error if the file cannot be written.
  MetricsFile(const std::string& path, bool append);
  void step(int64_t step, int64_t samples, double loss, double seconds, double learning_rate_factor);
  void evaluation(int64_t step, int64_t samples, const Metrics& metrics, double seconds);
  void record(const std::string& json) { write(json); }  ///< one JSON object with at least step and samples

 private:
  void write(const std::string& line);
  std::string path_;
  std::ofstream file_;
};

}  // namespace sparrow
