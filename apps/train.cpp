// sparrow train CONFIG: trains a model over the ranks mpirun started, or alone.
#include <spdlog/spdlog.h>

#include <filesystem>

#include "base/error.hpp"
#include "base/stop_signal.hpp"
#include "base/text_file.hpp"
#include "commands.hpp"
#include "rank_command.hpp"
#include "run/training_run.hpp"

namespace sparrow {

namespace {

std::optional<RankArguments> parse(int argc, char** argv) {
  cxxopts::Options options("sparrow train",
                           "Trains a DLRM from a configuration; start it with mpirun -n RANKS for several ranks. "
                           "SIGUSR1 ends it early, with a checkpoint.");
  auto add = options.add_options();
  add("backend", "auto, cuda or host; the same as --set system.backend=...", cxxopts::value<std::string>(), "NAME");
  add("log", "debug, info, warn or error", cxxopts::value<std::string>()->default_value("info"), "LEVEL");
  add("log-all-ranks", "let every rank log, not only rank 0");
  auto arguments = parse_rank_arguments(options, "YAML file (configs/reference.yaml shows every key)", argc, argv);
  if (!arguments) return {};
  const cxxopts::ParseResult& given = arguments->given;
  if (given.count("backend") > 0)
    arguments->overrides.push_back("system.backend=" + given["backend"].as<std::string>());
  const auto level = given["log"].as<std::string>();
  arguments->level = spdlog::level::from_str(level);
  if (arguments->level == spdlog::level::off)
    fail("--log: unknown value '{}'; expected: debug, info, warn, error", level);
  arguments->all_ranks_log = given.count("log-all-ranks") > 0;
  return arguments;
}

void write_effective_config(const Config& config) {
  std::filesystem::create_directories(config.output.dir);
  write_text_file(config.output.dir + "/config.yaml", to_yaml(config));
}

/// Opening the data fails, more often than not, because nobody has made them yet.
void check_generated(const Config& config, const std::string& path) {
  const std::optional<GenerateOptions>& generate = config.data.generate;
  if (!generate || std::filesystem::exists(generate->out)) return;
  spdlog::warn("{} does not exist: `sparrow generate --config {}` generates it (data.generate)", generate->out, path);
}

}  // namespace

int run_train(int argc, char** argv) {
  const std::optional<RankArguments> arguments = parse(argc, argv);
  if (!arguments) return 0;
  const StopSignal signal;
  return run_on_ranks("train", *arguments, [&](const RankCommand& rank) {
    if (rank.mpi.rank() == 0) {
      write_effective_config(rank.config);
      check_generated(rank.config, arguments->config);
    }
    run_training(rank.config, rank.context(), {rank.mpi.node(), rank.mpi.local_rank(), rank.mpi.local_size()},
                 [&] { return signal.asked(); });
  });
}

}  // namespace sparrow
