#include "config/plan_file.hpp"

#include <algorithm>
#include <optional>

#include "base/error.hpp"
#include "base/text_file.hpp"
#include "config/json_reader.hpp"

namespace sparrow {
namespace {

using placement::Plan;
using placement::Reduction;
using placement::SampleAssignment;
using placement::Site;
using placement::TablePlan;
using placement::Transport;

constexpr const char* kFormat = "sparrow-plan";
constexpr int64_t kMostRows = int64_t{1} << 40;  // sums of positions and offsets stay far from overflow
constexpr int64_t kMostRanks = int64_t{1} << 20;
constexpr int64_t kMostBytes = int64_t{1} << 28;

std::string option_text(const placement::Option& option, const placement::Tree& tree) {
  std::vector<std::string> sites;
  for (Site site : option.sites)
    sites.push_back(fmt::format("{{\"domain\": {}, \"store\": {}, \"name\": {}}}", site.domain, site.store,
                                quoted(tree.site_name(site))));
  return fmt::format("{{\"level\": {}, \"reduction\": \"{}\", \"sites\": [{}]}}", option.level,
                     option.reduction == Reduction::dense ? "dense" : "sparse", fmt::join(sites, ", "));
}

std::string table_text(const TablePlan& table) {
  std::vector<std::string> intervals;
  for (const auto& i : table.intervals) intervals.push_back(fmt::format("[{}, {}, {}]", i.first, i.last, i.option));
  return fmt::format(
      "{{\"name\": {}, \"rows\": {}, \"transport\": \"{}\", \"offset\": {}, \"holder_slot\": {},{}\n"
      "   \"intervals\": [{}]}}",
      quoted(table.name), table.rows, transport_name(table.transport), table.holders.offset, table.holders.fixed,
      table.holders.first_use ? " \"holders\": \"first_use\"," : "", fmt::join(intervals, ", "));
}

/// Nothing for contiguous parts of batches.
std::string assignment_text(const SampleAssignment& assignment) {
  if (!assignment.local) return "";
  return fmt::format("\n\"assignment\": {{\"delay\": {}, \"passes\": {}}},", assignment.delay, assignment.passes);
}

Site read_site(const JsonValue& value, const placement::Tree& tree) {
  const auto fields = value.members({"domain", "store", "name"});
  Site site;
  site.domain = static_cast<int>(fields[0].integer(0, tree.size() - 1));
  site.store = static_cast<int>(fields[1].integer(0, std::ssize(tree.domain(site.domain).stores) - 1));
  if (fields[2].text() != tree.site_name(site))
    fields[2].wrong(fmt::format("{} is store {} of domain {} in the plan; in topology {} that is {}",
                                quoted(fields[2].text()), site.store, site.domain, tree.topology().name,
                                quoted(tree.site_name(site))));
  return site;
}

placement::Option read_option(const JsonValue& value, const placement::Tree& tree) {
  const auto fields = value.members({"level", "reduction", "sites"});
  placement::Option option;
  option.level = static_cast<int>(fields[0].integer(0, tree.depth()));
  option.reduction = fields[1].choice({"dense", "sparse"}) == 0 ? Reduction::dense : Reduction::sparse;
  for (const JsonValue& site : fields[2].items()) option.sites.push_back(read_site(site, tree));
  return option;
}

/// The option that a list of numbers ends with.
int option_of(const JsonValue& value, int64_t number, int64_t options) {
  if (number >= options) value.wrong(fmt::format("takes option {}, there are {}", number, options));
  return static_cast<int>(number);
}

/// Cuts a position out of its interval: it takes another option.
void except(const JsonValue& exception, int64_t options, std::vector<placement::Interval>& intervals) {
  const auto numbers = exception.numbers(2, kMostRows);
  const int64_t position = numbers[0];
  const auto found = std::find_if(intervals.begin(), intervals.end(), [&](const placement::Interval& interval) {
    return interval.first <= position && position < interval.last;
  });
  if (found == intervals.end()) exception.wrong(fmt::format("position {} is in no interval", position));
  std::vector<placement::Interval> parts{{found->first, position, found->option},
                                         {position, position + 1, option_of(exception, numbers[1], options)},
                                         {position + 1, found->last, found->option}};
  std::erase_if(parts, [](const placement::Interval& part) { return part.first == part.last; });
  intervals.insert(intervals.erase(found), parts.begin(), parts.end());
}

/// Keys of a table that need not be there: how its holders are found, and those that older programs wrote.
constexpr std::initializer_list<const char*> kOtherKeys = {"holders", "deduplicated", "partial_sums", "slices",
                                                           "exceptions"};
void read_old_keys(const JsonValue& value, int64_t options, TablePlan& table) {
  if (const auto deduplicated = value.member("deduplicated"); deduplicated && !deduplicated->boolean())
    table.transport = Transport::pooled;
  if (const auto sums = value.member("partial_sums"); sums && sums->boolean())
    table.transport = Transport::partial_sums;
  if (const auto slices = value.member("slices"); slices && !slices->items().empty())
    slices->wrong("tables cut into slices of their columns do not run");
  if (const auto exceptions = value.member("exceptions"))
    for (const JsonValue& exception : exceptions->items()) except(exception, options, table.intervals);
}

TablePlan read_table(const JsonValue& value, int64_t options) {
  const auto fields = value.members({"name", "rows", "transport", "offset", "holder_slot", "intervals"}, kOtherKeys);
  TablePlan table;
  table.name = fields[0].text();
  table.rows = fields[1].integer(1, kMostRows);
  table.transport = static_cast<Transport>(fields[2].choice({"staged", "direct", "pooled", "partial_sums"}));
  table.holders.offset = fields[3].integer(0, kMostRows);
  table.holders.fixed = fields[4].integer(-1, kMostRows);
  if (const auto holders = value.member("holders"))
    table.holders.first_use = holders->choice({"arithmetic", "first_use"}) == 1;
  for (const JsonValue& interval : fields[5].items()) {
    const auto numbers = interval.numbers(3, kMostRows);
    table.intervals.push_back({numbers[0], numbers[1], option_of(interval, numbers[2], options)});
  }
  read_old_keys(value, options, table);
  return table;
}

SampleAssignment read_assignment(const JsonValue& value) {
  const auto fields = value.members({"delay", "passes"});
  return {true, static_cast<int>(fields[0].integer(1, kMostRanks)), static_cast<int>(fields[1].integer(0, 100))};
}

}  // namespace

std::string write_plan(const Plan& plan, const placement::Topology& topology) {
  const placement::Tree tree(topology);
  std::vector<std::string> options, tables;
  for (const auto& option : plan.options) options.push_back(option_text(option, tree));
  for (const auto& table : plan.tables) tables.push_back(table_text(table));
  return fmt::format(
      "{{\n\"format\": \"{}\", \"version\": {},\n\"strategy\": {}, \"topology\": {}, \"global_batch\": {},\n"
      "\"batch_shares\": [{}],{}\n\"options\": [\n  {}\n],\n\"tables\": [\n  {}\n]}}\n",
      kFormat, plan.version, quoted(plan.strategy), quoted(plan.topology), plan.global_batch,
      fmt::join(plan.batch_shares, ", "), assignment_text(plan.assignment), fmt::join(options, ",\n  "),
      fmt::join(tables, ",\n  "));
}

void save_plan(const std::string& path, const Plan& plan, const placement::Topology& topology) {
  write_text_file(path, write_plan(plan, topology));
}

Plan parse_plan(std::string_view text, const std::string& name, const placement::Topology& topology) {
  const placement::Tree tree(topology);
  const nlohmann::json document = parse_json(text, name);
  const JsonValue root(document, "", name);
  const auto fields =
      root.members({"format", "version", "strategy", "topology", "global_batch", "batch_shares", "options", "tables"},
                   {"assignment"});
  fields[0].choice({kFormat});
  Plan plan;
  plan.version = static_cast<int>(fields[1].integer(1, 1));
  plan.strategy = fields[2].text();
  plan.topology = fields[3].text();
  plan.global_batch = fields[4].integer(1, kMostRows);
  for (const JsonValue& share : fields[5].items()) plan.batch_shares.push_back(share.real(0, 1));
  const auto& ranks = tree.at_level(tree.depth());
  if (plan.batch_shares.size() != ranks.size())
    fields[5].wrong(fmt::format("{} shares for {} types of rank", plan.batch_shares.size(), ranks.size()));
  if (const auto assignment = root.member("assignment")) plan.assignment = read_assignment(*assignment);
  for (const JsonValue& option : fields[6].items()) plan.options.push_back(read_option(option, tree));
  for (const JsonValue& table : fields[7].items()) plan.tables.push_back(read_table(table, std::ssize(plan.options)));
  return plan;
}

Plan load_plan(const std::string& path, const placement::Topology& topology) {
  return parse_plan(read_text_file(path, kMostBytes), path, topology);
}

}  // namespace sparrow
