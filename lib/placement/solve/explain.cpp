// Options in words, and why a row took the one it did.
#include <algorithm>

#include "base/error.hpp"
#include "placement/cost/cost_model.hpp"
#include "placement/solve/family.hpp"
#include "placement/solve/solve.hpp"

namespace sparrow::placement {

std::string describe(const Option& option, const Tree& tree) {
  std::string sites;
  for (Site site : option.sites) sites += (sites.empty() ? "" : ", ") + tree.site_name(site);
  const char* reduction = option.reduction == Reduction::dense ? "dense" : "sparse";
  if (option.level == 0) return (tree.is_device(option.sites[0]) ? "held in " : "fetched from ") + sites;
  if (option.level == tree.depth()) return fmt::format("replicated ({}) in {}", reduction, sites);
  return fmt::format("a copy per {} ({}) in {}", tree.domain(tree.at_level(option.level)[0]).name, reduction, sites);
}

std::vector<ExplainedOption> explain(const Topology& topology, const Workload& workload, const SolveOptions& options,
                                     const Solution& solution, int table, int64_t position) {
  const CostModel model(topology, workload);
  if (table < 0 || table >= model.tables()) fail("explain: table {} of {}", table, model.tables());
  const TablePlan& plan = solution.plan.tables[table];
  if (position < 0 || position >= plan.rows)
    fail("explain: position {} of table {} with {} rows", position, plan.name, plan.rows);
  size_t c = 0;
  for (int64_t end = workload.tables[table].access.rows[0]; end <= position;)
    end += workload.tables[table].access.rows[++c];
  FamilyLimits limits;
  limits.least_level = solution.least_level;
  limits.most_level = solution.most_level;
  limits.slow_sites = solution.slow_sites;
  std::vector<ExplainedOption> result;
  const Option& chosen = solution.plan.options[option_at(plan, position)];
  const double* features = model.features_of(table, c);
  for (const Option& option : family_options(model, options, limits)) {
    double factor = 1;
    if (plan.transport == Transport::pooled)
      factor = pooled_pairs(1, pooled_holders(model.tree(), option), model.table(table).lookups);
    double seconds = 0;
    for (const Coefficient& coefficient : coefficients(model, option, plan.transport, model.shape(table), factor))
      if (!solution.quantity_prices.empty())
        seconds += solution.quantity_prices[coefficient.quantity] * coefficient.value * features[coefficient.feature];
    result.push_back({describe(option, model.tree()), seconds, option == chosen});
  }
  std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
  return result;
}

}  // namespace sparrow::placement
