// The end of a run on standard output: its figures, and the theory's beside them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace sparrow {

/// A table of what `summary` (of run_summary.hpp) says.
void print_table(const nlohmann::json& summary, const std::string& output_dir);

/// Logs where prediction and count are further apart than the theory's own error, and what usually is the reason.
void warn_of_deviations(const nlohmann::json& summary);

}  // namespace sparrow
