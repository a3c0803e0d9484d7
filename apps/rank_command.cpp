#include "rank_command.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "comm/mpi_comm.hpp"
#include "overrides.hpp"

namespace sparrow {

std::optional<RankArguments> parse_rank_arguments(cxxopts::Options& options, const char* help, int argc, char** argv) {
  auto add = options.add_options();
  add("config", help, cxxopts::value<std::string>());
  add("set", "override a key: --set train.global_batch=2048 (repeatable)", cxxopts::value<std::string>(), "KEY=VALUE");
  add("h,help", "this text");
  options.parse_positional({"config"});
  options.positional_help("CONFIG");
  RankArguments arguments;
  std::vector<char*> rest;
  arguments.overrides = take_overrides(argc, argv, rest);
  arguments.given = options.parse(static_cast<int>(rest.size()), rest.data());
  if (arguments.given.count("help") > 0) {
    fmt::print("{}", options.help());
    return {};
  }
  if (!arguments.given.unmatched().empty()) fail("unexpected argument '{}'", arguments.given.unmatched()[0]);
  if (arguments.given.count("config") == 0)
    fail("no configuration given: {} CONFIG (for example configs/quickstart.yaml)", options.program());
  arguments.config = arguments.given["config"].as<std::string>();
  return arguments;
}

namespace {

/// Collective. None: it is wrong, and that was said.
std::optional<Config> load_on_all_ranks(MpiRuntime& mpi, const char* command, const RankArguments& arguments) {
  constexpr double kStartTimeout = 60;  // the configuration's own is not known yet
  std::optional<Config> config;
  std::string error;
  try {
    config = load_config(arguments.config, arguments.overrides);
  } catch (const Error& e) {
    error = e.what();
  }
  const auto comm = make_mpi_comm(mpi, kStartTimeout);
  const std::vector<std::string> errors = all_gather(*comm, error);
  for (size_t rank = 0; rank < errors.size(); ++rank) {
    if (errors[rank].empty()) continue;
    if (mpi.rank() == 0) fmt::print(stderr, "sparrow {}: rank {}: {}\n", command, rank, errors[rank]);
    return {};
  }
  return config;
}

}  // namespace

int run_on_ranks(const char* command, const RankArguments& arguments,
                 const std::function<void(const RankCommand&)>& work) {
  MpiRuntime mpi;
  set_up_log(mpi.rank(), arguments.level, arguments.all_ranks_log);
  try {
    const std::optional<Config> config = load_on_all_ranks(mpi, command, arguments);
    if (!config) return 1;
    const auto comm = make_mpi_comm(mpi, config->system.timeout);
    const ChosenBackend backend = choose_backend(config->system, mpi, *comm);
    work({*config, mpi, *comm, backend});
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "sparrow {}: rank {}: {}\n", command, mpi.rank(), error.what());
    mpi.abort(1);
  }
}

}  // namespace sparrow
