// The report of a plan for people.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.hpp"
#include "base/human.hpp"
#include "config/options.hpp"
#include "placement/baselines/strategies.hpp"
#include "plan_report.hpp"

namespace sparrow {
namespace {

using placement::Cost;
using placement::Tree;

constexpr size_t kMostTablesShown = 40;

std::string heading(const PlanRequest& request, const PlanAnswer& answer, const Tree& tree) {
  const auto& workload = answer.workload;
  int64_t rows = 0;
  double stored = 0;
  for (const auto& table : workload.tables) {
    rows += table.access.total_rows();
    stored += static_cast<double>(table.access.total_rows()) * static_cast<double>(table.row_bytes + table.state_bytes);
  }
  const auto& first = workload.tables[0];
  return fmt::format(
      "Plan \"{}\" for {}: {} tables, {} rows of {} + {} bytes ({}), batch {} on {} ranks, {} on the wire, {}\n"
      "All times and bytes are modelled, not measured.\n\n",
      answer.plan.strategy, tree.topology().name, workload.tables.size(), with_commas(rows), first.row_bytes,
      first.state_bytes, human_bytes(stored), with_commas(workload.global_batch), with_commas(tree.ranks()),
      word_of(request.wire).text, request.overlapped ? "overlapped" : "sequential");
}

/// With a profile: whether samples go to their rows.
std::string samples_text(const PlanAnswer& answer) {
  const SamplesDecision& samples = answer.decision.samples;
  const placement::SampleAssignment& assignment = answer.plan.assignment;
  std::string text;
  if (assignment.local)
    text = fmt::format(
        "  samples           {:<11} to their rows: {:.1f} x fewer rows sent, {:.2f} x faster; W = {}, {} pass{}\n",
        human_bytes(answer.cost.sent_mean.samples), samples.contiguous.row_bytes / samples.assigned.row_bytes,
        samples.contiguous.seconds / samples.assigned.seconds, assignment.delay, assignment.passes,
        assignment.passes == 1 ? "" : "es");
  else if (!samples.why_not.empty())
    text = fmt::format("  samples           {:<11} stay where they are read: {}\n", "-", samples.why_not);
  for (const std::string& note : answer.locality_notes) text += fmt::format("  {:<17} {:<11} {}\n", "", "", note);
  return text;
}

std::string summary(const PlanAnswer& answer, const Tree& tree) {
  const Cost& cost = answer.cost;
  const double sent = row_bytes_sent(answer, cost);
  std::string text = fmt::format(
      "  iteration         {:<11} optimistic: ignores variation between ranks\n"
      "  samples per s     {}\n"
      "  lower bound       {:<11} optimality gap {:.2f} %: no considered plan is faster than the bound\n"
      "  bottleneck        {}\n"
      "  sent by a rank    {:<11} ids {}, rows {}, gradients {}, all-reduce {}; busiest rank {}\n",
      human_seconds(cost.seconds), human_number(cost.samples_per_second), human_seconds(answer.decision.bound()),
      100 * std::max(0.0, cost.seconds / answer.decision.bound() - 1), cost.bottleneck,
      human_bytes(cost.sent_mean.total()), human_bytes(cost.sent_mean.ids), human_bytes(cost.sent_mean.rows),
      human_bytes(cost.sent_mean.gradients), human_bytes(cost.sent_mean.allreduce), human_bytes(cost.sent_max.total()));
  if (const Cost& held = answer.decision.cost; answer.decision.prefers_held())
    text +=
        fmt::format("  a run prefers     {:<11} held rows alone, {:.2f} % slower: within the error of measured rates\n",
                    human_seconds(held.seconds), 100 * (held.seconds / answer.optimum().cost.seconds - 1));
  text += samples_text(answer);
  text += fmt::format(
      "  rows moved        {:<11} {}the minimum of {} for any exact synchronous scheme that moves whole rows{}\n",
      human_bytes(sent),
      answer.decision.floor_bytes > 0 ? fmt::format("{:.2f} x ", sent / answer.decision.floor_bytes) : "",
      human_bytes(answer.decision.floor_bytes),
      answer.plan.assignment.local ? " and leaves samples where they are read" : "");
  text +=
      fmt::format("  distinct rows     {:<11} of {} lookups of a rank (mean)\n", human_number(cost.distinct_rows_mean),
                  human_number(static_cast<double>(answer.workload.global_batch) / static_cast<double>(tree.ranks()) *
                               std::accumulate(answer.workload.tables.begin(), answer.workload.tables.end(), 0.0,
                                               [](double sum, const auto& t) { return sum + t.lookups; })));
  text += fmt::format("  grouping error    {:<11} at most, in the expected distinct rows of a class\n\n",
                      fmt::format("{:.2g} %", 100 * answer.optimum().grouping_error));
  return text;
}

std::string count_cell(double rows) {
  return rows == 0 ? "-" : with_commas(std::llround(rows));
}

std::string tables_text(const PlanAnswer& answer, const Tree& tree) {
  const auto names = place_names(tree);
  const auto places = places_of(answer);
  std::string text = fmt::format("Rows by placement\n  {:<10} {:>13}", "table", "rows");
  for (auto name = names.rbegin(); name != names.rend(); ++name) text += fmt::format(" {:>13}", *name);
  text += fmt::format(" {:>13}  {}\n", "offloaded", "transport");
  const auto line = [&](const std::string& name, const Places& rows, const std::string& transport) {
    text += fmt::format("  {:<10} {:>13}", name, count_cell(rows.total()));
    for (size_t l = rows.by_level.size(); l-- > 0;) text += fmt::format(" {:>13}", count_cell(rows.by_level[l]));
    text += fmt::format(" {:>13}  {}\n", count_cell(rows.offloaded), transport);
  };
  Places rows, lookups;
  for (size_t t = 0; t < places.size(); ++t) {
    const auto& plan = answer.plan.tables[t];
    if (t < kMostTablesShown) line(plan.name, places[t].rows, placement::transport_name(plan.transport));
    rows.add(places[t].rows, 1);
    lookups.add(places[t].lookups, answer.workload.tables[t].lookups);
  }
  if (places.size() > kMostTablesShown) text += fmt::format("  ... {} more tables\n", places.size() - kMostTablesShown);
  line("all", rows, "");
  text += fmt::format("  {:<10} {:>13}", "lookups", "100 %");
  const double all = lookups.total();
  const auto share = [&](double value) { return fmt::format(" {:>11.2f} %", all > 0 ? 100 * value / all : 0); };
  for (size_t l = names.size(); l-- > 0;) text += share(lookups.by_level[l]);
  return text + share(lookups.offloaded) + "\n\n";
}

std::string memory_text(const PlanAnswer& answer, const Tree& tree) {
  std::string text = fmt::format("Memory of one store\n  {:<40} {:>9} {:>10} {:>10} {:>10} {:>7}\n", "store", "stores",
                                 "rows", "buffers", "capacity", "full");
  for (const auto& store : answer.cost.stores)
    text += fmt::format(
        "  {:<40} {:>9} {:>10} {:>10} {:>10} {:>5.1f} %\n", store.name, with_commas(tree.instances(store.site.domain)),
        human_bytes(store.used_bytes), human_bytes(store.reserved_bytes), human_bytes(store.capacity_bytes),
        store.capacity_bytes > 0 ? 100 * (store.used_bytes + store.reserved_bytes) / store.capacity_bytes : 0);
  return text + "\n";
}

std::string phases_text(const PlanRequest& request, const Cost& cost) {
  std::string text =
      fmt::format("Phases{}\n  {:<34} {:>10} {:>10} {:>14}  {}\n",
                  request.overlapped ? " (one after the other; the overlapped step runs them concurrently)" : "",
                  "phase", "time", "latency", "sent by a rank", "bottleneck");
  for (const Phase phase : kModelledPhases) {
    const double seconds = cost.seconds_by_phase[static_cast<size_t>(phase)], sent = sent_in_phase(cost, phase);
    if (seconds == 0 && sent == 0) continue;
    text += fmt::format("  {:<34} {:>10} {:>10} {:>14}\n", phase_name(phase), human_seconds(seconds), "",
                        sent > 0 ? human_bytes(sent) : "");
    for (const auto& stage : cost.stages)
      if (stage.phase == phase && stage.seconds >= 0.002 * cost.seconds)
        text += fmt::format("    {:<32} {:>10} {:>10} {:>14}  {}\n", stage.name, human_seconds(stage.seconds),
                            human_seconds(stage.latency_seconds), "", stage.bottleneck);
  }
  return text + "\n";
}

std::string strategies_text(const PlanAnswer& answer) {
  std::string text = fmt::format("Strategies under the same cost model\n  {:<24} {:>10} {:>13} {:>13} {:>12}  {}\n",
                                 "strategy", "iteration", "samples per s", "slowdown", "rows moved", "bottleneck");
  const auto line = [&](const std::string& name, const Cost& cost) {
    text += fmt::format("  {:<24} {:>10} {:>13} {:>11.2f} x {:>12}  {}\n", name, human_seconds(cost.seconds),
                        human_number(cost.samples_per_second), cost.seconds / answer.optimum().cost.seconds,
                        human_bytes(row_bytes_sent(answer, cost)), cost.bottleneck);
  };
  line("optimal", answer.optimum().cost);
  for (const auto& other : answer.optimum().strategies) {
    if (other.cost.infeasible.empty())
      line(other.name, other.cost);
    else
      text += fmt::format("  {:<24} does not fit: {}\n", other.name, other.cost.infeasible);
  }
  return text + "\n";
}

std::string prices_text(const PlanAnswer& answer) {
  std::string text = "Value of more resources (estimated from shadow prices)\n";
  const auto sentences = price_sentences(answer);
  for (const auto& price : sentences) text += "  " + price.sentence + "\n";
  if (sentences.empty()) text += "  No resource limit costs as much as 0.1 % of the time.\n";
  return text;
}

}  // namespace

std::string plan_text(const PlanRequest& request, const PlanAnswer& answer) {
  const Tree tree(answer.topology);
  return heading(request, answer, tree) + summary(answer, tree) + tables_text(answer, tree) +
         memory_text(answer, tree) + phases_text(request, answer.cost) + strategies_text(answer) + prices_text(answer);
}

}  // namespace sparrow
