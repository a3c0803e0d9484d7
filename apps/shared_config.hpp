// The configuration of a command that runs under mpirun: every rank reads it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "comm/mpi_runtime.hpp"
#include "config/config.hpp"

namespace sparrow {

/// Collective. What is wrong with a configuration is wrong on all ranks: it is said once, "sparrow COMMAND: ...", on
/// standard error, and all get nothing, so that they can end without ado.
std::optional<Config> load_on_all_ranks(MpiRuntime& mpi, const char* command, const std::string& path,
                                        const std::vector<std::string>& overrides);

}  // namespace sparrow
