// sparrow calibrate CONFIG: measures this machine under mpirun, with the model of a configuration, and writes a
// topology file.
#include <fmt/format.h>

#include <algorithm>
#include <cxxopts.hpp>
#include <thread>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text_file.hpp"
#include "comm/mpi_comm.hpp"
#include "commands.hpp"
#include "config/config.hpp"
#include "config/topology_file.hpp"
#include "overrides.hpp"
#include "train/planning.hpp"

namespace sparrow {

int run_calibrate(int argc, char** argv) {
  cxxopts::Options options(
      "sparrow calibrate",
      "Measures exchanges, work on rows and the model's arithmetic on the ranks that mpirun started, and "
      "writes them as a topology file (for system.topology and sparrow plan).");
  options.add_options()("config", "YAML file: its model and batch are measured", cxxopts::value<std::string>())(
      "set", "override a key (repeatable)", cxxopts::value<std::string>(), "KEY=VALUE")(
      "out", "the file to write", cxxopts::value<std::string>()->default_value("topology.yaml"), "FILE")("h,help",
                                                                                                         "this text");
  options.parse_positional({"config"});
  options.positional_help("CONFIG");
  std::vector<char*> rest;
  std::vector<std::string> overrides = take_overrides(argc, argv, rest);
  const auto parsed = options.parse(static_cast<int>(rest.size()), rest.data());
  if (parsed.count("help") > 0) {
    fmt::print("{}", options.help());
    return 0;
  }
  if (parsed.count("config") == 0) fail("which configuration? sparrow calibrate CONFIG");

  MpiRuntime mpi;
  set_up_log(mpi.rank());
  try {
    overrides.emplace_back("system.topology=auto");
    const Config config = load_config(parsed["config"].as<std::string>(), overrides);
    const auto comm = make_mpi_comm(mpi, config.system.timeout);
    const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    const int threads = config.system.threads > 0 ? config.system.threads : std::max(1, cores / mpi.ranks_on_cores());
    const auto backend = make_host_backend(threads);
    const SystemShape system = find_system(RankContext::on_host(*backend, *comm), mpi.node(), config, true);
    if (mpi.rank() == 0) {
      const auto path = parsed["out"].as<std::string>();
      write_text_file(path, write_topology(system.topology, fmt::format("Measured by sparrow calibrate: {} ranks on {} "
                                                                        "nodes, {} threads each.",
                                                                        mpi.size(), mpi.nodes(), threads)));
      fmt::print("{}: {} ranks on {} nodes\n", path, mpi.size(), mpi.nodes());
    }
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "sparrow calibrate: rank {}: {}\n", mpi.rank(), error.what());
    mpi.abort(1);
  }
}

}  // namespace sparrow
