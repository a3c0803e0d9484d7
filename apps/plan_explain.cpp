// sparrow plan --explain: why a row is where it is.
#include <algorithm>

#include "base/error.hpp"
#include "base/human.hpp"
#include "plan_report.hpp"

namespace sparrow {
namespace {

struct Row {
  size_t table = 0;
  int64_t position = 0;
};

Row parse_row(const std::string& text, const placement::Plan& plan) {
  const size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  Row row;
  while (row.table < plan.tables.size() && plan.tables[row.table].name != name) ++row.table;
  if (row.table == plan.tables.size())
    fail("--explain: unknown table '{}'; expected {} to {}", name, plan.tables.front().name, plan.tables.back().name);
  if (colon == std::string::npos) return row;
  const auto last = static_cast<double>(plan.tables[row.table].rows - 1);
  row.position = parse_whole(fmt::format("--explain {}, position", name), text.substr(colon + 1), 0, last);
  return row;
}

}  // namespace

std::string explain_text(const PlanRequest& request, const PlanAnswer& answer) {
  const placement::Solution& solution = answer.optimum();
  const Row row = parse_row(request.explain, solution.plan);
  const auto& table = answer.workload.tables[row.table];
  size_t c = 0;
  for (int64_t end = table.access.rows[0]; end <= row.position; end += table.access.rows[c]) ++c;
  const placement::Tree tree(answer.topology);
  const double draws = static_cast<double>(answer.workload.global_batch) * table.lookups;
  double p = 0;
  for (const auto& group : table.access.p) p += group[c] / static_cast<double>(table.access.p.size());
  std::string text = fmt::format(
      "Row at position {} of {}: {:.4g} of the table's lookups, in a batch with probability {:.4g} (any rank).\n"
      "Cost of each option at the optimum's shadow prices (time added to an iteration, memory included):\n",
      with_commas(row.position), table.name, p, placement::touched(p, draws));
  const auto options =
      placement::explain(answer.topology, answer.workload, solve_options(answer.workload, request.combine), solution,
                         static_cast<int>(row.table), row.position);
  for (const auto& option : options)
    text += fmt::format("  {} {:>10}  {}\n", option.chosen ? "*" : " ", human_seconds(option.seconds), option.option);
  text +=
      "  * chosen by the plan. Options of equal cost share rows so that no limit is exceeded. Left out are stores and\n"
      "    exchanges that the plan does not use: their latency would exceed what one row can save.\n";
  if (solution.plan.strategy != "optimal")
    text += fmt::format(
        "The best plan is the strategy {}; the costs above are those of the optimiser's own family of plans.\n",
        solution.plan.strategy);
  return text;
}

}  // namespace sparrow
