// Reading a plan, and checking it without trusting whoever made it.
#include "placement/model/plan.hpp"

#include <algorithm>
#include <numeric>

#include "base/error.hpp"

namespace sparrow::placement {

bool Plan::in_turn() const {
  const auto first_use = [](const TablePlan& table) { return table.holders.first_use; };
  return assignment.local || std::any_of(tables.begin(), tables.end(), first_use);
}
namespace {

void check_option(const Plan& plan, const Tree& tree, size_t index) {
  const Option& option = plan.options[index];
  if (option.level < 0 || option.level > tree.depth())
    fail("plan: options[{}]: level {} of a tree of depth {}", index, option.level, tree.depth());
  const auto& types = tree.at_level(option.level);
  if (option.sites.size() != types.size())
    fail("plan: options[{}]: {} sites for the {} domain types of level {}", index, option.sites.size(), types.size(),
         option.level);
  for (size_t i = 0; i < types.size(); ++i) {
    const Site site = option.sites[i];
    const bool exists = site.domain >= 0 && site.domain < tree.size() && site.store >= 0 &&
                        site.store < static_cast<int>(tree.domain(site.domain).stores.size());
    if (!exists) fail("plan: options[{}]: there is no store {} of domain {}", index, site.store, site.domain);
    const auto& inside = tree.sites_in(types[i]);
    if (std::find(inside.begin(), inside.end(), site) == inside.end())
      fail("plan: options[{}]: {} does not hold copies for {}", index, tree.site_name(site), tree.path(types[i]));
  }
}

void check_intervals(const TablePlan& table, size_t options) {
  int64_t next = 0;
  for (const Interval& interval : table.intervals) {
    if (interval.first != next || interval.last <= interval.first)
      fail("plan: table {}: positions {} to {} do not follow on {}", table.name, interval.first, interval.last, next);
    if (interval.option < 0 || interval.option >= static_cast<int>(options))
      fail("plan: table {}: positions from {} take option {}, there are {}", table.name, interval.first,
           interval.option, options);
    next = interval.last;
  }
  if (next != table.rows) fail("plan: table {}: its intervals end at {} of {} rows", table.name, next, table.rows);
}

/// Bytes on the holders at a site of one copy domain: what each has more than the one before.
struct HolderBytes {
  Site site;
  std::vector<int64_t> steps;  ///< by holder
};

HolderBytes& holders_at(std::vector<HolderBytes>& all, Site site, int64_t holders) {
  for (HolderBytes& known : all)
    if (known.site == site && std::ssize(known.steps) == holders) return known;
  return all.emplace_back(HolderBytes{site, std::vector<int64_t>(holders, 0)});
}

/// Adds the rows of an interval: as many turns to every holder as are whole, and the rest from the first one on.
void add_rows(const HolderRule& rule, int64_t row_bytes, const Interval& interval, std::vector<int64_t>& steps) {
  const auto k = std::ssize(steps);
  const int64_t rows = interval.last - interval.first;
  const auto add = [&](int64_t from, int64_t to, int64_t bytes) {
    if (from >= to) return;
    steps[from] += bytes;
    if (to < k) steps[to] -= bytes;
  };
  const int64_t first = rule.holder(interval.first, k);
  if (rule.fixed >= 0) return add(first, first + 1, rows * row_bytes);
  add(0, k, rows / k * row_bytes);
  const int64_t end = first + rows % k;
  add(first, std::min(end, k), row_bytes);
  add(0, end - k, row_bytes);
}

/// Adds what the holders of each copy domain have to all instances, of which there are more or fewer: the holders of a
/// domain are every so many of those of one around it.
void add_cyclically(const std::vector<int64_t>& holders, std::vector<int64_t>& instances) {
  const size_t all = std::max(holders.size(), instances.size()), before = instances.size();
  instances.resize(all);
  for (size_t i = before; i < all; ++i) instances[i] = instances[i - before];
  for (size_t from = 0; from < all; from += holders.size())
    for (size_t i = 0; i < holders.size(); ++i) instances[from + i] += holders[i];
}

}  // namespace

int option_at(const TablePlan& table, int64_t position) {
  SPARROW_CHECK(position >= 0 && position < table.rows, "position {} of table {} with {} rows", position, table.name,
                table.rows);
  const auto interval = std::upper_bound(table.intervals.begin(), table.intervals.end(), position,
                                         [](int64_t p, const Interval& i) { return p < i.last; });
  return interval->option;
}

std::vector<std::vector<int64_t>> fullest_instances(const Plan& plan, const Tree& tree, const Workload& workload) {
  std::vector<HolderBytes> all;
  for (size_t t = 0; t < plan.tables.size(); ++t)
    for (const Interval& interval : plan.tables[t].intervals) {
      const Option& option = plan.options[interval.option];
      const std::vector<int>& types = tree.at_level(option.level);
      for (size_t i = 0; i < types.size(); ++i) {
        const Site site = option.sites[i];
        const Table& table = workload.tables[t];
        add_rows(plan.tables[t].holders, table.row_bytes + table.state_bytes, interval,
                 holders_at(all, site, tree.instances_in(site.domain, types[i])).steps);
      }
    }
  std::vector<std::vector<int64_t>> result;
  for (int d = 0; d < tree.size(); ++d) {
    result.emplace_back();
    for (size_t s = 0; s < tree.domain(d).stores.size(); ++s) {
      std::vector<int64_t> bytes(1, 0);  // by instance, of the largest copy domain
      for (HolderBytes& holders : all) {
        if (holders.site != Site{d, static_cast<int>(s)}) continue;
        std::partial_sum(holders.steps.begin(), holders.steps.end(), holders.steps.begin());
        add_cyclically(holders.steps, bytes);
      }
      result.back().push_back(*std::max_element(bytes.begin(), bytes.end()));
    }
  }
  return result;
}

void check(const Plan& plan, const Topology& topology, const Workload& workload, const std::vector<double>& reserved) {
  const Tree tree(topology);
  if (plan.version != 1) fail("plan: version {}, this program reads version 1", plan.version);
  if (plan.tables.size() != workload.tables.size())
    fail("plan: {} tables, the model has {}", plan.tables.size(), workload.tables.size());
  for (size_t o = 0; o < plan.options.size(); ++o) check_option(plan, tree, o);
  for (size_t t = 0; t < plan.tables.size(); ++t) {
    const int64_t rows = workload.tables[t].access.total_rows();
    if (plan.tables[t].rows != rows)
      fail("plan: table {} has {} rows, the model's has {}", plan.tables[t].name, plan.tables[t].rows, rows);
    const HolderRule& holders = plan.tables[t].holders;
    if (holders.offset < 0) fail("plan: table {}: offset {}", plan.tables[t].name, holders.offset);
    check_intervals(plan.tables[t], plan.options.size());
  }
  const auto fullest = fullest_instances(plan, tree, workload);
  const auto& ranks = tree.at_level(tree.depth());
  for (int d = 0; d < tree.size(); ++d)
    for (size_t s = 0; s < fullest[d].size(); ++s) {
      const Site site{d, static_cast<int>(s)};
      double kept = 0;
      if (tree.is_device(site) && !reserved.empty())
        kept = reserved[std::find(ranks.begin(), ranks.end(), d) - ranks.begin()];
      const double bytes = static_cast<double>(fullest[d][s]);
      const double capacity = static_cast<double>(tree.store(site).capacity_bytes);
      if (bytes > 0 && bytes + kept > capacity)
        fail("plan: {} needs {:.0f} bytes for rows and {:.0f} for buffers, it has {:.0f}", tree.site_name(site), bytes,
             kept, capacity);
    }
}

Placement to_placement(const Plan& plan, const Workload& workload) {
  Placement placement;
  placement.options = plan.options;
  for (size_t t = 0; t < plan.tables.size(); ++t) {
    const TablePlan& table = plan.tables[t];
    TablePlacement placed;
    placed.transport = table.transport;
    const auto& rows = workload.tables[t].access.rows;
    std::vector<int64_t> end(rows.size());  // position behind each class
    std::partial_sum(rows.begin(), rows.end(), end.begin());
    size_t c = 0;
    for (const Interval& interval : table.intervals)
      for (int64_t at = interval.first; at < interval.last;) {
        while (end[c] <= at) ++c;
        const int64_t upto = std::min(end[c], interval.last);
        placed.shares.push_back({static_cast<int32_t>(c), interval.option, static_cast<double>(upto - at)});
        at = upto;
      }
    placement.tables.push_back(std::move(placed));
  }
  return placement;
}

}  // namespace sparrow::placement
