// sparrow plan: where every embedding row should live on a machine, and what that costs. Needs neither MPI nor a GPU.
#include <fmt/format.h>

#include <cstdio>

#include "base/text_file.hpp"
#include "commands.hpp"
#include "config/plan_file.hpp"
#include "config/topology_file.hpp"
#include "plan_report.hpp"

namespace sparrow {
int run_plan(int argc, char** argv) {
  const std::optional<PlanRequest> request = parse_plan_request(argc, argv);
  if (!request) return 0;
  if (!request->sweeps.empty()) {
    const std::string csv = sweep_csv(*request);
    if (request->out.empty())
      fmt::print("{}", csv);
    else
      write_text_file(request->out, csv);
    return 0;
  }
  const placement::Topology topology = load_topology(request->topology);
  const PlanAnswer result = answer(*request, load_plan_tables(*request), topology);
  if (!request->out.empty()) save_plan(request->out, result.plan, result.topology);
  if (!request->explain.empty())
    fmt::print("{}", explain_text(*request, result));
  else
    fmt::print("{}", request->json ? plan_json_text(*request, result) : plan_text(*request, result));
  return 0;
}

}  // namespace sparrow
