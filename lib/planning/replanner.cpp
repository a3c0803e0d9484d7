#include "planning/replanner.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "access/access_profile.hpp"
#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "config/plan_file.hpp"
#include "layout/plan_change.hpp"
#include "placement/cost/cost_model.hpp"
#include "planning/rank_types.hpp"

namespace sparrow {

namespace {

/// Bytes from one rank to another; every rank of the communicator calls it, source < 0 or destination < 0: others do.
std::string pass_on(Comm& comm, int destination, int source, const std::string& text) {
  const auto ranks = static_cast<size_t>(comm.size());
  std::vector<int64_t> send_bytes(ranks), recv_bytes(ranks), zero(ranks);
  const auto exchange = [&](const void* send, int64_t sent, void* recv, int64_t received) {
    if (destination >= 0) send_bytes[destination] = sent;
    if (source >= 0) recv_bytes[source] = received;
    comm.wait(comm.post(nullptr, {Phase::control, static_cast<const std::byte*>(send), send_bytes, zero,
                                  static_cast<std::byte*>(recv), recv_bytes, zero}));
  };
  const auto length = static_cast<int64_t>(text.size());
  int64_t incoming = 0;
  exchange(&length, 8, &incoming, 8);
  std::string received(incoming, '\0');
  exchange(text.data(), length, received.data(), incoming);
  return received;
}

}  // namespace

AccessCounter merged_counter(Comm& comm, const AccessCounter& own, bool counts) {
  AccessCounter all = counts ? own : own.emptied();
  bool passed = false;
  for (int distance = 1; distance < comm.size(); distance *= 2) {
    const bool gives = !passed && comm.rank() % (2 * distance) == distance;
    const bool takes = !passed && !gives && comm.rank() + distance < comm.size();
    const std::string received = pass_on(comm, gives ? comm.rank() - distance : -1, takes ? comm.rank() + distance : -1,
                                         gives && counts ? all.serialize() : "");
    if (takes && !received.empty()) {
      AccessCounter other = own;
      other.restore(received);
      all.merge(other);
      counts = true;
    }
    passed = passed || gives;
  }
  return all;
}

double seconds_to_move(const SystemShape& shape, const std::vector<int64_t>& copies, double bytes, int64_t moves) {
  const placement::Tree tree(shape.topology);
  const size_t ranks = shape.rank_type.size();
  double slowest = 0, latency = 0;
  for (int type = 0; type < tree.size(); ++type)
    for (const std::vector<int>& inside : shape.instances[type]) {
      std::vector<char> is_inside(ranks, 0);
      for (const int rank : inside) is_inside[rank] = 1;
      double out = 0, in = 0;
      for (size_t s = 0; s < ranks; ++s)
        for (size_t d = 0; d < ranks; ++d) {
          if (is_inside[s] && !is_inside[d]) out += bytes * static_cast<double>(copies[s * ranks + d]);
          if (!is_inside[s] && is_inside[d]) in += bytes * static_cast<double>(copies[s * ranks + d]);
        }
      for (const placement::Port& port : tree.domain(type).ports) {
        slowest = std::max({slowest, out / port.out_bytes_per_s, in / port.in_bytes_per_s});
        if (out + in > 0) latency = std::max(latency, port.latency_s);
      }
      if (tree.is_rank(type)) slowest = std::max(slowest, (out + in) / tree.domain(type).work.pack_bytes_per_s);
    }
  return slowest + 2 * latency * static_cast<double>(moves);
}

Replanner::Replanner(const RunOptions& options, const TrainingData& data, const Tables& tables,
                     const SystemShape& system, placement::Plan plan)
    : options_(options),
      shapes_(data.shapes),
      tables_(tables),
      system_(system),
      plan_(std::move(plan)),
      counter_(data.shapes.rows),
      cuts_(data.shapes.rows.size()) {
  for (const RankKind& kind : rank_kinds(system)) group_of_rank_.push_back(kind.access_group);
  for (size_t t = 0; t < data.counts.classes.size(); ++t) {
    int64_t end = 0;
    for (const GroupedRows& of_class : data.counts.classes[t]) cuts_[t].push_back(end += of_class.rows);
  }
}

/// The counts of each access group, at rank 0.
std::vector<AccessCounter> Replanner::merged_by_group(Comm& comm) const {
  std::vector<AccessCounter> merged;
  const int groups = *std::max_element(group_of_rank_.begin(), group_of_rank_.end()) + 1;
  for (int group = 0; group < groups; ++group)
    merged.push_back(merged_counter(comm, counter_, group_of_rank_[comm.rank()] == group));
  return merged;
}

Replanning Replanner::consider(Comm& comm, int64_t iterations) {
  const std::vector<AccessCounter> all = merged_by_group(comm);
  counter_.scale(0.5);
  Replanning answer;
  std::string text;
  if (comm.rank() == 0) {
    answer = decide(all, iterations);
    if (answer.changes) text = write_plan(answer.next->plan, system_.topology);
  }
  text = broadcast_string(comm, text, 0);
  answer.changes = !text.empty();
  if (!answer.changes) return answer;
  broadcast(comm, std::as_writable_bytes(std::span(&answer.copies_per_move, 1)), 0);
  if (comm.rank() != 0) {
    answer.next.emplace();
    answer.next->plan = parse_plan(text, "plan of rank 0", system_.topology);
  }
  answer.next->copies = copy_plan(answer.next->plan, system_);
  return answer;
}

/// The optimum for the counts of now, by position; nothing, and why, if it does not fit into memory so.
std::optional<placement::Plan> Replanner::best_plan(const placement::Workload& workload,
                                                    const std::vector<AccessProfile>& profiles,
                                                    std::string& why_not) const {
  // Holders follow positions, and rows of one option need not be neighbours there: a rank may get more than its share,
  // and the plan is made again for a little less memory.
  constexpr int kAttempts = 4;
  placement::Topology topology = system_.topology;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const placement::Solution solution = solve_run(topology, workload, options_);
    placement::Plan plan = by_position(solution.plan, profiles, plan_);
    const placement::CostModel model(system_.topology, workload);
    if (placement::fits(model, plan)) return plan;
    for (placement::Domain& domain : topology.domains)
      for (placement::Store& store : domain.stores) store.capacity_bytes -= store.capacity_bytes / 100;
  }
  why_not = "no plan fits the memory of every rank, as rows are unevenly distributed over positions";
  return std::nullopt;
}

Replanning Replanner::decide(std::span<const AccessCounter> all, int64_t iterations) const {
  Replanning answer;
  answer.iterations = iterations;
  std::vector<AccessProfile> profiles;
  std::vector<placement::TableDistribution> access;
  for (int t = 0; t < tables_.count(); ++t) {
    profiles.push_back(make_profile(all, t, tables_.rows(t), cuts_[t]));
    access.push_back(profiles.back().distribution);
  }
  const placement::Workload workload = make_workload(options_, shapes_, std::move(access));
  const placement::CostModel model(system_.topology, workload);
  const placement::Cost now = placement::evaluate(model, placement_by_class(plan_, profiles));
  answer.seconds_now = answer.seconds_next = now.seconds;
  answer.bytes_now = answer.bytes_next = now.sent_mean.total();
  const std::optional<placement::Plan> plan = best_plan(workload, profiles, answer.why_not);
  if (!plan) return answer;

  PlannedRun next;
  next.plan = *plan;
  next.predicted = placement::evaluate(model, placement_by_class(*plan, profiles));
  next.floor_bytes = placement::floor_bytes(model);
  next.copies = copy_plan(*plan, system_);
  const PlanChange change(tables_, system_.hierarchy, copy_plan(plan_, system_), next.copies, 1);
  const std::vector<int64_t> copies = change.copies_between_ranks();
  const auto ranks = static_cast<size_t>(system_.hierarchy.ranks());
  const double row_bytes = static_cast<double>(workload.tables[0].row_bytes + workload.tables[0].state_bytes);
  for (size_t i = 0; i < copies.size(); ++i)
    if (i / ranks != i % ranks) answer.moved_copies += copies[i];
  answer.moved_bytes = answer.moved_copies * static_cast<int64_t>(row_bytes);
  const double exchanged = (now.sent_mean.rows + now.sent_mean.gradients) * static_cast<double>(ranks);
  answer.copies_per_move =
      std::max(static_cast<int64_t>(ranks), static_cast<int64_t>(kMoveShare * exchanged / row_bytes));
  const int64_t moves = (answer.moved_copies + answer.copies_per_move - 1) / answer.copies_per_move;

  answer.seconds_next = next.predicted.seconds;
  answer.bytes_next = next.predicted.sent_mean.total();
  answer.cost_seconds = seconds_to_move(system_, copies, row_bytes, moves);
  const double gaining = std::max(0.0, static_cast<double>(iterations) - static_cast<double>(moves) / 2);
  answer.gain_seconds = (answer.seconds_now - answer.seconds_next) * gaining;
  if (answer.seconds_next > (1 - kLeastGain) * answer.seconds_now)
    answer.why_not = "no plan is better by more than the sampling error of the counts";
  else if (answer.gain_seconds <= answer.cost_seconds)
    answer.why_not = "migration would cost more than it gains";
  else
    answer.changes = true;
  if (answer.changes) answer.next = std::move(next);
  return answer;
}

std::string describe(const Replanning& answer) {
  std::string text = fmt::format(
      "re-planning: {:.3f} ms per iteration expected with the present plan, {:.3f} ms with the best plan for current "
      "counts ({:.0f} and {:.0f} bytes sent per rank); gain {:.2f} s over {} iterations, cost {:.2f} s ({} rows, "
      "{:.1f} MB)",
      answer.seconds_now * 1e3, answer.seconds_next * 1e3, answer.bytes_now, answer.bytes_next, answer.gain_seconds,
      answer.iterations, answer.cost_seconds, answer.moved_copies, static_cast<double>(answer.moved_bytes) / 1e6);
  return text + (answer.changes ? fmt::format(": new plan, {} rows move before each step", answer.copies_per_move)
                                : ": plan kept, " + answer.why_not);
}

std::string to_json(const Replanning& answer, int64_t step, int64_t samples) {
  nlohmann::json record{{"changes", answer.changes},
                        {"seconds_per_iteration", {{"now", answer.seconds_now}, {"next", answer.seconds_next}}},
                        {"bytes_per_iteration",
                         {{"counted", answer.bytes_counted}, {"now", answer.bytes_now}, {"next", answer.bytes_next}}},
                        {"iterations", answer.iterations},
                        {"gain_seconds", answer.gain_seconds},
                        {"cost_seconds", answer.cost_seconds},
                        {"moved_rows", answer.moved_copies},
                        {"moved_bytes", answer.moved_bytes}};
  if (!answer.changes) record["why_not"] = answer.why_not;
  return nlohmann::json{{"step", step}, {"samples", samples}, {"replan", record}}.dump();
}

}  // namespace sparrow
