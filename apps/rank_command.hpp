// What the commands under mpirun have in common: a configuration that every rank reads, and the life around their work.
#pragma once

#include <cxxopts.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "backend_choice.hpp"
#include "base/log.hpp"
#include "config/config.hpp"

namespace sparrow {

struct RankArguments {
  std::string config;
  std::vector<std::string> overrides;
  cxxopts::ParseResult given;
  spdlog::level::level_enum level = spdlog::level::info;
  bool all_ranks_log = false;
};

/// Adds CONFIG (of which `help` says what is done with it), --set and --help to the options, and parses. None: the help
/// was asked for, and is printed. Throws Error.
std::optional<RankArguments> parse_rank_arguments(cxxopts::Options& options, const char* help, int argc, char** argv);

/// What the work of a rank is done with.
struct RankCommand {
  const Config& config;
  MpiRuntime& mpi;
  Comm& comm;
  const ChosenBackend& backend;

  RankContext context() const { return backend.context(comm); }
};

/// Collective. Reads the configuration, chooses the backend and does the work; returns the exit code. What is wrong
/// with a configuration is wrong on all ranks: it is said once, and all end without ado. Any other Error ends all ranks
/// at once. Both are said as "sparrow COMMAND: rank R: ..." on standard error.
int run_on_ranks(const char* command, const RankArguments& arguments,
                 const std::function<void(const RankCommand&)>& work);

}  // namespace sparrow
