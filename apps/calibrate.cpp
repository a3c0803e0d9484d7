// sparrow calibrate CONFIG: measures this machine under mpirun, with the model of a configuration, and writes a
// topology file.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.hpp"
#include "base/text_file.hpp"
#include "commands.hpp"
#include "config/topology_file.hpp"
#include "rank_command.hpp"
#include "run/run_system.hpp"

namespace sparrow {

namespace {

std::optional<RankArguments> parse(int argc, char** argv) {
  cxxopts::Options options(
      "sparrow calibrate",
      "Measures exchanges, work on rows and the model's arithmetic on the ranks that mpirun started, and "
      "writes them as a topology file (for system.topology and sparrow plan).");
  options.add_options()("out", "the file to write", cxxopts::value<std::string>()->default_value("topology.yaml"),
                        "FILE");
  auto arguments =
      parse_rank_arguments(options, "YAML file: its model and batch are measured, on its backend", argc, argv);
  if (arguments) arguments->overrides.emplace_back("system.topology=auto");
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
  const std::optional<RankArguments> arguments = parse(argc, argv);
  if (!arguments) return 0;
  const std::string out = arguments->given["out"].as<std::string>();
  return run_on_ranks("calibrate", *arguments, [&](const RankCommand& rank) {
    if (rank.mpi.rank() == 0) check_writable(out);
    const SystemShape system = find_system(rank.context(), rank.mpi.node(), rank.config, true);
    if (rank.mpi.rank() != 0) return;
    const std::string ranks =
        fmt::format("{} on {}", counted(rank.mpi.size(), "rank"), counted(rank.mpi.nodes(), "node"));
    write_text_file(
        out, write_topology(system.topology, fmt::format("Measured by sparrow calibrate: {}, {} backend, {} each.",
                                                         ranks, rank.context().backend.name(),
                                                         counted(rank.backend.host_threads, "host thread"))));
    fmt::print("{}: {}\n", out, ranks);
  });
}

}  // namespace sparrow
