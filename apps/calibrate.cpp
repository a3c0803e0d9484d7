// sparrow calibrate CONFIG: measures this machine under mpirun, with the model of a configuration, and writes a
// topology file.
#include <fmt/format.h>
#include <unistd.h>

#include <cxxopts.hpp>
#include <filesystem>

#include "backend_choice.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text_file.hpp"
#include "comm/mpi_comm.hpp"
#include "commands.hpp"
#include "config/topology_file.hpp"
#include "overrides.hpp"
#include "run/run_system.hpp"
#include "shared_config.hpp"

namespace sparrow {

namespace {

struct Arguments {
  std::string config, out;
  std::vector<std::string> overrides;
  std::string help;  ///< not empty: asked for
};

Arguments parse(int argc, char** argv) {
  cxxopts::Options options(
      "sparrow calibrate",
      "Measures exchanges, work on rows and the model's arithmetic on the ranks that mpirun started, and "
      "writes them as a topology file (for system.topology and sparrow plan).");
  options.add_options()("config", "YAML file: its model and batch are measured, on its backend",
                        cxxopts::value<std::string>())("set", "override a key (repeatable)",
                                                       cxxopts::value<std::string>(), "KEY=VALUE")(
      "out", "the file to write", cxxopts::value<std::string>()->default_value("topology.yaml"), "FILE")("h,help",
                                                                                                         "this text");
  options.parse_positional({"config"});
  options.positional_help("CONFIG");
  Arguments arguments;
  std::vector<char*> rest;
  arguments.overrides = take_overrides(argc, argv, rest);
  arguments.overrides.emplace_back("system.topology=auto");
  const auto parsed = options.parse(static_cast<int>(rest.size()), rest.data());
  if (parsed.count("help") > 0) {
    arguments.help = options.help();
    return arguments;
  }
  if (!parsed.unmatched().empty()) fail("unexpected argument '{}'", parsed.unmatched()[0]);
  if (parsed.count("config") == 0) fail("no configuration given: sparrow calibrate CONFIG");
  arguments.config = parsed["config"].as<std::string>();
  arguments.out = parsed["out"].as<std::string>();
  return arguments;
}

/// Now, rather than when all is measured.
void check_writable(const std::string& path) {
  namespace fs = std::filesystem;
  if (fs::is_directory(path)) fail("--out {}: is a directory", path);
  const std::string folder = fs::absolute(path).parent_path().string();
  if (access(folder.c_str(), W_OK) != 0) fail_errno(fmt::format("--out {}: {}", path, folder));
}

std::string counted(int n, const char* noun) {
  return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s");
}

}  // namespace

int run_calibrate(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  if (!arguments.help.empty()) {
    fmt::print("{}", arguments.help);
    return 0;
  }
  MpiRuntime mpi;
  set_up_log(mpi.rank());
  try {
    const std::optional<Config> config = load_on_all_ranks(mpi, "calibrate", arguments.config, arguments.overrides);
    if (!config) return 1;
    if (mpi.rank() == 0) check_writable(arguments.out);
    const auto comm = make_mpi_comm(mpi, config->system.timeout);
    const ChosenBackend backend = choose_backend(config->system, mpi, *comm);
    const SystemShape system = find_system(backend.context(*comm), mpi.node(), *config, true);
    if (mpi.rank() == 0) {
      const std::string ranks = fmt::format("{} on {}", counted(mpi.size(), "rank"), counted(mpi.nodes(), "node"));
      write_text_file(
          arguments.out,
          write_topology(system.topology, fmt::format("Measured by sparrow calibrate: {}, {} backend, {} each.", ranks,
                                                      backend.context(*comm).backend.name(),
                                                      counted(backend.host_threads, "host thread"))));
      fmt::print("{}: {}\n", arguments.out, ranks);
    }
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "sparrow calibrate: rank {}: {}\n", mpi.rank(), error.what());
    mpi.abort(1);
  }
}

}  // namespace sparrow
