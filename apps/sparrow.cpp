// sparrow: chooses the subcommand and reports errors. What a subcommand does is in the file of its name.
#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <exception>

#include "base/subnormals.hpp"
#include "base/version.hpp"
#include "commands.hpp"
#include "thread_waiting.hpp"

namespace {

struct Command {
  const char* name;
  int (*run)(int argc, char** argv);
  const char* summary;
};

constexpr Command kCommands[] = {
    {"train", sparrow::run_train, "train a DLRM from a configuration (under mpirun or alone)"},
    {"plan", sparrow::run_plan,
     "decide which rows are held, replicated or offloaded, and predict the cost (no MPI, no GPU)"},
    {"calibrate", sparrow::run_calibrate, "measure this machine and write it as a topology file (under mpirun)"},
    {"locality", sparrow::run_locality, "measure how far samples can go to the ranks that hold their rows"},
    {"generate", sparrow::run_generate, "write shards with the shape of Criteo's data"},
    {"count", sparrow::run_count, "count how often each row is looked up"},
};

void print_help() {
  fmt::print("sparrow {}: trains recommendation models and decides where their embedding rows live\n\n",
             sparrow::kVersion);
  fmt::print("usage: sparrow COMMAND [ARGUMENTS]      sparrow COMMAND --help\n\n");
  for (const Command& command : kCommands) fmt::print("  {:<10} {}\n", command.name, command.summary);
}

}  // namespace

int main(int argc, char** argv) {
  sparrow::shorten_thread_waiting(argv);
  const sparrow::SubnormalMode mode(sparrow::Subnormals::flush);
  if (argc < 2 || std::strcmp(argv[1], "--help") == 0 || std::strcmp(argv[1], "-h") == 0) {
    print_help();
    return argc < 2 ? 2 : 0;
  }
  if (std::strcmp(argv[1], "--version") == 0) {
    fmt::print("sparrow {}\n", sparrow::kVersion);
    return 0;
  }
  for (const Command& command : kCommands) {
    if (std::strcmp(argv[1], command.name) != 0) continue;
    try {
      return command.run(argc - 1, argv + 1);
    } catch (const std::exception& error) {
      fmt::print(stderr, "sparrow {}: {}\n", command.name, error.what());
      return 1;
    }
  }
  fmt::print(stderr, "sparrow: unknown command '{}'; sparrow --help lists them\n", argv[1]);
  return 2;
}
