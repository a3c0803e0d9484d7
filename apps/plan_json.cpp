// The report of a plan as JSON. Times in seconds, amounts in bytes; everything is modelled.
#include <nlohmann/json.hpp>

#include "placement/baselines/strategies.hpp"
#include "plan_report.hpp"

namespace sparrow {
namespace {

using json = nlohmann::ordered_json;
using placement::Cost;

json memory_json(const PlanAnswer& answer, const placement::Tree& tree) {
  json list = json::array();
  for (const auto& store : answer.cost.stores)
    list.push_back({{"store", store.name},
                    {"stores", tree.instances(store.site.domain)},
                    {"used_bytes", store.used_bytes},
                    {"reserved_bytes", store.reserved_bytes},
                    {"capacity_bytes", store.capacity_bytes}});
  return list;
}

json prices_json(const PlanAnswer& answer) {
  json list = json::array();
  for (const auto& line : price_sentences(answer))
    list.push_back({{"resource", line.price.resource},
                    {"kind", line.price.kind},
                    {"seconds_per_unit", line.price.seconds_per_unit},
                    {"sentence", line.sentence}});
  return list;
}

/// Phases under the names of this report; what is written back to slower stores is part of its update.
constexpr std::pair<Phase, const char*> kReportedPhases[] = {{Phase::ids, "ids"},
                                                             {Phase::store, "fetch"},
                                                             {Phase::rows, "forward"},
                                                             {Phase::compute, "compute"},
                                                             {Phase::gradients, "backward"},
                                                             {Phase::samples, "samples"},
                                                             {Phase::allreduce, "reduction"},
                                                             {Phase::update, "update"}};

json phases_json(const Cost& cost) {
  json phases = json::object();
  for (const auto& [phase, name] : kReportedPhases) {
    json stages = json::array();
    double seconds = phase == Phase::compute ? cost.compute_seconds : 0;
    for (const auto& stage : cost.stages) {
      if ((stage.written ? Phase::update : stage.phase) != phase) continue;
      seconds += stage.seconds;
      stages.push_back({{"name", stage.name},
                        {"seconds", stage.seconds},
                        {"latency_seconds", stage.latency_seconds},
                        {"bottleneck", stage.bottleneck}});
    }
    phases[name] = {{"seconds", seconds}, {"bytes", sent_in_phase(cost, phase)}, {"stages", stages}};
  }
  return phases;
}

json strategies_json(const PlanAnswer& answer) {
  json list = json::array();
  const auto add = [&](const std::string& name, const Cost& cost) {
    list.push_back({{"name", name}});
    if (!cost.infeasible.empty()) {
      list.back()["infeasible"] = cost.infeasible;
      return;
    }
    list.back()["seconds_per_iteration"] = cost.seconds;
    list.back()["samples_per_second"] = cost.samples_per_second;
    list.back()["speedup_of_optimal"] = cost.seconds / answer.optimum().cost.seconds;
    list.back()["bottleneck"] = cost.bottleneck;
  };
  add("optimal", answer.optimum().cost);
  for (const auto& other : answer.optimum().strategies) add(other.name, other.cost);
  return list;
}

json tables_json(const PlanAnswer& answer, const placement::Tree& tree) {
  const auto names = place_names(tree);
  const auto places = places_of(answer);
  json list = json::array();
  for (size_t t = 0; t < places.size(); ++t) {
    json rows = json::object();
    for (size_t l = 0; l < names.size(); ++l) rows[names[l]] = static_cast<int64_t>(places[t].rows.by_level[l]);
    rows["fetched"] = static_cast<int64_t>(places[t].rows.offloaded);
    list.push_back(
        {{"name", answer.plan.tables[t].name}, {"rows", answer.plan.tables[t].rows}, {"rows_by_place", rows}});
  }
  return list;
}

json bytes_json(const placement::SentBytes& sent) {
  return {
      {"ids", sent.ids},         {"rows", sent.rows},    {"gradients", sent.gradients}, {"allreduce", sent.allreduce},
      {"samples", sent.samples}, {"total", sent.total()}};
}

/// Who trains a sample; with a profile also what the best plan costs with and without samples that go to their rows.
json assignment_json(const PlanAnswer& answer) {
  const placement::SampleAssignment& assignment = answer.plan.assignment;
  json report = {{"local", assignment.local}};
  if (assignment.local) {
    report["delay"] = assignment.delay;
    report["passes"] = assignment.passes;
    report["holders"] = answer.decision.locality.first_use ? "first_use" : "arithmetic";
  }
  const SamplesDecision& samples = answer.decision.samples;
  if (!samples.why_not.empty()) report["why_not"] = samples.why_not;
  for (const auto& [name, way] : {std::pair("contiguous", samples.contiguous), std::pair("assigned", samples.assigned)})
    if (way.seconds > 0)
      report[name] = {{"seconds_per_iteration", way.seconds}, {"bound", way.bound}, {"row_bytes_sent", way.row_bytes}};
  if (!answer.locality_notes.empty()) report["notes"] = answer.locality_notes;
  return report;
}

}  // namespace

std::string plan_json_text(const PlanRequest&, const PlanAnswer& answer) {
  const placement::Tree tree(answer.topology);
  const Cost& cost = answer.cost;
  json report = {{"modelled", true},
                 {"topology", answer.plan.topology},
                 {"strategy", answer.plan.strategy},
                 {"ranks", tree.ranks()},
                 {"global_batch", answer.workload.global_batch},
                 {"seconds_per_iteration", cost.seconds},
                 {"sequential_seconds", cost.sequential_seconds},
                 {"overlapped_seconds", cost.overlapped_seconds},
                 {"preferred", answer.decision.plan.strategy},
                 {"bound", answer.decision.bound()},
                 {"gap", cost.seconds / answer.decision.bound() - 1},
                 {"floor_bytes", answer.decision.floor_bytes},
                 {"row_bytes", row_bytes_sent(answer, cost)},
                 {"samples_per_second", cost.samples_per_second},
                 {"bottleneck", cost.bottleneck},
                 {"distinct_rows_per_iteration", cost.distinct_rows_mean},
                 {"grouping_error", answer.optimum().grouping_error},
                 {"bytes_per_iteration", bytes_json(cost.sent_mean)}};
  report["bytes_per_iteration"]["max"] = bytes_json(cost.sent_max);
  report["assignment"] = assignment_json(answer);
  report["memory"] = memory_json(answer, tree);
  report["prices"] = prices_json(answer);
  report["phases"] = phases_json(cost);
  report["strategies"] = strategies_json(answer);
  report["tables"] = tables_json(answer, tree);
  return report.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace sparrow
