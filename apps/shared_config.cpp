#include "shared_config.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "comm/mpi_comm.hpp"

namespace sparrow {

std::optional<Config> load_on_all_ranks(MpiRuntime& mpi, const char* command, const std::string& path,
                                        const std::vector<std::string>& overrides) {
  constexpr double kStartTimeout = 60;  // the configuration's own is not known yet
  std::optional<Config> config;
  std::string error;
  try {
    config = load_config(path, overrides);
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

}  // namespace sparrow
