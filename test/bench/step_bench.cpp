// Samples a second of a whole training step on one rank, and where its time goes:
//   step_bench --dim 64 --batch 2048 --mlp light --type fp32 --threads 1
// Without --dim, --mlp or --type: all of 16 and 64, light and mlperf, fp32 and bf16. Times are medians over the steps
// for the whole and means for the operations; on a busy machine compare runs side by side only.
#include <fmt/format.h>

#include <algorithm>
#include <cxxopts.hpp>
#include <iostream>

#include "base/subnormals.hpp"
#include "test/bench/step_model.hpp"

namespace {

using namespace sparrow;
using namespace sparrow::bench;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double best(const std::vector<double>& values) {
  return *std::min_element(values.begin(), values.end());
}

void run(const StepOptions& options, int threads, int steps) {
  const auto backend = make_host_backend(threads);
  StepModel model(*backend, options);
  OperationTimes warm_up, times;
  double first_loss = 0, last_loss = 0;
  for (int i = 0; i < 3; ++i) first_loss = model.step(warm_up);
  std::vector<double> seconds;
  for (int i = 0; i < steps; ++i) {
    const Timer timer;
    last_loss = model.step(times);
    seconds.push_back(timer.seconds());
  }
  const auto batch = static_cast<double>(options.batch);
  fmt::print("dim {}, batch {}, {} MLPs, {}, {} threads: {:.0f} samples/s (best {:.0f}), loss {:.4f} -> {:.4f}\n",
             options.dim, options.batch, options.mlperf ? "mlperf" : "light",
             options.type == DType::f32 ? "fp32" : "bf16", threads, batch / median(seconds), batch / best(seconds),
             first_loss, last_loss);
  double sum = 0;
  for (const auto& operation : times.operations()) {
    fmt::print("  {:<24} {:8.3f} ms (best {:.3f})\n", operation.name, median(operation.seconds_of_step) * 1e3,
               best(operation.seconds_of_step) * 1e3);
    sum += best(operation.seconds_of_step);
  }
  fmt::print("  {:<24} {:8.3f} ms (best {:.3f}, sum of the operations' best {:.3f})\n", "step", median(seconds) * 1e3,
             best(seconds) * 1e3, sum * 1e3);
  std::fflush(stdout);
}

template <class T>
std::vector<T> chosen(const cxxopts::ParseResult& arguments, const std::string& name, const std::vector<T>& all) {
  return arguments.count(name) ? std::vector<T>{arguments[name].as<T>()} : all;
}

}  // namespace

int main(int argc, char** argv) {
  const sparrow::SubnormalMode mode(sparrow::Subnormals::flush);
  try {
    cxxopts::Options description("step_bench", "Speed of a training step on one rank");
    description.add_options()("dim", "values of a row", cxxopts::value<int64_t>())(
        "batch", "samples of a step", cxxopts::value<int64_t>()->default_value("2048"))(
        "mlp", "light or mlperf", cxxopts::value<std::string>())("type", "fp32 or bf16", cxxopts::value<std::string>())(
        "threads", "threads", cxxopts::value<int>()->default_value("1"))(
        "cap", "rows of a table at most", cxxopts::value<int64_t>()->default_value("1000000"))(
        "steps", "steps to time", cxxopts::value<int>()->default_value("40"))(
        "scattered", "rows not sorted by frequency")("adagrad", "Adagrad for the rows")("help", "this");
    const auto arguments = description.parse(argc, argv);
    if (arguments.count("help")) {
      std::cout << description.help();
      return 0;
    }
    for (const std::string& mlp : chosen<std::string>(arguments, "mlp", {"light", "mlperf"})) {
      for (const int64_t dim : chosen<int64_t>(arguments, "dim", {16, 64})) {
        for (const std::string& type : chosen<std::string>(arguments, "type", {"fp32", "bf16"})) {
          StepOptions options;
          options.dim = dim;
          options.batch = arguments["batch"].as<int64_t>();
          options.mlperf = mlp == "mlperf";
          options.type = type == "bf16" ? DType::bf16 : DType::f32;
          options.cap = arguments["cap"].as<int64_t>();
          options.by_frequency = !arguments.count("scattered");
          if (arguments.count("adagrad")) options.optimizer = OptimizerKind::adagrad;
          run(options, arguments["threads"].as<int>(), arguments["steps"].as<int>());
        }
      }
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "step_bench: " << error.what() << "\n";
    return 1;
  }
}
