// sparrow train CONFIG: trains a model over the ranks mpirun started, or alone.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <cxxopts.hpp>
#include <filesystem>

#include "backend_choice.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/stop_signal.hpp"
#include "base/text_file.hpp"
#include "comm/mpi_comm.hpp"
#include "commands.hpp"
#include "config/config.hpp"
#include "overrides.hpp"
#include "run/training_run.hpp"
#include "shared_config.hpp"

namespace sparrow {

namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> overrides;
  spdlog::level::level_enum level = spdlog::level::info;
  bool all_ranks = false;
  bool help = false;
};

Arguments parse(int argc, char** argv, std::string& help) {
  cxxopts::Options options("sparrow train",
                           "Trains a DLRM from a configuration; start it with mpirun -n RANKS for several ranks. "
                           "SIGUSR1 ends it early, with a checkpoint.");
  options.add_options()("config", "YAML file (configs/reference.yaml shows every key)", cxxopts::value<std::string>())(
      "set", "override a key: --set train.global_batch=2048 (repeatable)", cxxopts::value<std::vector<std::string>>(),
      "KEY=VALUE")("backend", "auto, cuda or host; the same as --set system.backend=...", cxxopts::value<std::string>(),
                   "NAME")("log", "debug, info, warn or error", cxxopts::value<std::string>()->default_value("info"),
                           "LEVEL")("log-all-ranks", "let every rank log, not only rank 0")("h,help", "this text");
  options.parse_positional({"config"});
  options.positional_help("CONFIG");
  help = options.help();

  Arguments arguments;
  std::vector<char*> rest;
  arguments.overrides = take_overrides(argc, argv, rest);
  const auto parsed = options.parse(static_cast<int>(rest.size()), rest.data());
  arguments.help = parsed.count("help") > 0;
  if (arguments.help) return arguments;
  if (!parsed.unmatched().empty()) fail("unexpected argument '{}'", parsed.unmatched()[0]);
  if (parsed.count("config") == 0)
    fail("no configuration given: sparrow train CONFIG (for example configs/quickstart.yaml)");
  arguments.config = parsed["config"].as<std::string>();
  if (parsed.count("backend") > 0)
    arguments.overrides.push_back("system.backend=" + parsed["backend"].as<std::string>());
  const auto level = parsed["log"].as<std::string>();
  arguments.level = spdlog::level::from_str(level);
  if (arguments.level == spdlog::level::off)
    fail("--log: unknown value '{}'; expected: debug, info, warn, error", level);
  arguments.all_ranks = parsed.count("log-all-ranks") > 0;
  return arguments;
}

void write_effective_config(const Config& config) {
  std::filesystem::create_directories(config.output.dir);
  write_text_file(config.output.dir + "/config.yaml", to_yaml(config));
}

/// Opening the data fails, more often than not, because nobody has made them yet.
void check_generated(const Config& config, const std::string& path) {
  const GenerateOptions& generate = config.data.generate;
  if (generate.samples == 0 || std::filesystem::exists(generate.out)) return;
  spdlog::warn("{} does not exist: `sparrow generate --config {}` generates it (data.generate)", generate.out, path);
}

}  // namespace

int run_train(int argc, char** argv) {
  std::string help;
  const Arguments arguments = parse(argc, argv, help);
  if (arguments.help) {
    fmt::print("{}", help);
    return 0;
  }
  const StopSignal signal;
  MpiRuntime mpi;
  set_up_log(mpi.rank(), arguments.level, arguments.all_ranks);
  try {
    const std::optional<Config> config = load_on_all_ranks(mpi, "train", arguments.config, arguments.overrides);
    if (!config) return 1;
    const auto comm = make_mpi_comm(mpi, config->system.timeout);
    const auto backend = choose_backend(config->system, mpi, *comm);
    if (mpi.rank() == 0) {
      write_effective_config(*config);
      check_generated(*config, arguments.config);
    }
    run_training(*config, backend.context(*comm), {mpi.node(), mpi.local_rank(), mpi.local_size()},
                 [&] { return signal.asked(); });
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "sparrow train: rank {}: {}\n", mpi.rank(), error.what());
    mpi.abort(1);
  }
}

}  // namespace sparrow
