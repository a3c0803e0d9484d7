#include "run/metrics_file.hpp"

#include <nlohmann/json.hpp>

#include "base/error.hpp"

namespace sparrow {

using nlohmann::json;

MetricsFile::MetricsFile(const std::string& path, bool append)
    : path_(path), file_(path, append ? std::ios::app : std::ios::trunc) {
  if (!file_) fail_errno(path);
}

void MetricsFile::record(const std::string& line) {
  file_ << line << '\n' << std::flush;
  if (!file_) fail_errno(path_);
}

void MetricsFile::step(int64_t step, int64_t samples, double loss, double seconds, double learning_rate_factor) {
  record(json{
      {"step", step}, {"samples", samples}, {"loss", loss}, {"seconds", seconds}, {"lr_factor", learning_rate_factor}}
             .dump());
}

void MetricsFile::evaluation(int64_t step, int64_t samples, const Metrics& metrics, double seconds) {
  record(json{{"step", step}, {"samples", samples}, {"seconds", seconds}, {"eval", to_json(metrics)}}.dump());
}

json to_json(const Metrics& metrics) {
  return {
      {"auc", metrics.auc}, {"logloss", metrics.logloss}, {"accuracy", metrics.accuracy}, {"samples", metrics.samples}};
}

}  // namespace sparrow
