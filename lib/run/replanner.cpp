#include "run/replanner.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.hpp"
#include "base/text_file.hpp"
#include "comm/collectives.hpp"
#include "config/plan_file.hpp"
#include "planning/rank_types.hpp"

namespace sparrow {

using nlohmann::json;

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

/// Collective: the sum of all ranks' counters, at rank 0 (elsewhere undefined), in ceil(log2 ranks) rounds in which
/// half of those left send theirs: no rank ever has more than two. counts: false where a rank has none to add.
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

std::string counts_path(const std::string& folder, int rank) {
  return fmt::format("{}/counts_{:05}.bin", folder, rank);
}

MigrationState read_move(const std::string& path) {
  const json move = json::parse(read_text_file(path), nullptr, false);
  const auto number = [&](const char* key, int64_t least) {
    if (!move.is_object() || !move.contains(key) || !move[key].is_number_integer() || move[key].get<int64_t>() < least)
      fail("{}: {} is missing or no number from {} on", path, key, least);
    return move[key].get<int64_t>();
  };
  constexpr int64_t kMostSlices = 1 << 20;
  if (number("slices", 1) > kMostSlices) fail("{}: {} slices", path, number("slices", 1));
  return {number("copies_per_move", 1), static_cast<int>(number("slices", 1)), number("done", 0)};
}

}  // namespace

Replanner::Replanner(const RunOptions& options, const TrainingData& data, const Tables& tables,
                     const SystemShape& system, const Decision& first, Trainer& trainer)
    : options_(options),
      shapes_(data.shapes),
      tables_(tables),
      system_(system),
      trainer_(trainer),
      comm_(trainer.context().comm),
      locality_(first.locality),
      plan_(first.plan),
      settled_plan_(first.plan),
      counter_(data.shapes.rows),
      cuts_(data.shapes.rows.size()) {
  for (const RankType& type : rank_types(system)) group_of_rank_.push_back(type.access_group);
  if (!data.counts.grouped) return;
  for (size_t t = 0; t < cuts_.size(); ++t)
    std::partial_sum(data.counts.tables[t].rows.begin(), data.counts.tables[t].rows.end(),
                     std::back_inserter(cuts_[t]));
}

void Replanner::note_step(const Batch& batch) {
  counter_.count(batch);
  if (!moving_ || trainer_.migration()) return;
  moving_ = false;
  trainer_.drain();
  settled_plan_ = plan_;
  settled_ledger_ = trainer_.ledger();
}

std::optional<Replan> Replanner::ask(int64_t iterations) {
  if (trainer_.migration()) return {};
  trainer_.drain();  // so that the ledger has all of the last step
  Replan replan = decided_by_rank_0(iterations);
  if (replan.changes) replan.why_not = trainer_.lack_of_room(replan.next->resolved);
  replan.changes = replan.changes && replan.why_not.empty();
  replan.bytes_counted = counted_bytes();
  settled_ledger_ = trainer_.ledger();
  return replan;
}

Replan Replanner::decided_by_rank_0(int64_t iterations) {
  const std::vector<AccessCounter> all = merged_by_group();
  counter_.scale(0.5);
  Replan replan;
  std::string text;
  if (comm_.rank() == 0) {
    ReplanProblem problem{options_, shapes_, tables_, system_, plan_, {}, locality_};
    for (int t = 0; t < tables_.count(); ++t)
      problem.profiles.push_back(make_profile(all, t, tables_.rows(t), cuts_[t]));
    replan = decide(problem, iterations);
    if (replan.changes) text = write_plan(replan.next->plan, system_.topology);
  }
  text = broadcast_string(comm_, text, 0);
  replan.changes = !text.empty();
  if (!replan.changes) return replan;
  broadcast(comm_, std::as_writable_bytes(std::span(&replan.copies_per_move, 1)), 0);
  if (comm_.rank() != 0) {
    replan.next.emplace();
    replan.next->plan = parse_plan(text, "plan of rank 0", system_.topology);
  }
  replan.next->resolved = resolve(replan.next->plan, system_);
  return replan;
}

/// The counts of each access group, at rank 0.
std::vector<AccessCounter> Replanner::merged_by_group() const {
  std::vector<AccessCounter> merged;
  const int groups = *std::max_element(group_of_rank_.begin(), group_of_rank_.end()) + 1;
  for (int group = 0; group < groups; ++group)
    merged.push_back(merged_counter(comm_, counter_, group_of_rank_[comm_.rank()] == group));
  return merged;
}

void Replanner::carry_out(const Replan& replan) {
  if (!replan.changes) return;
  trainer_.migrate_to(replan.next->resolved, replan.copies_per_move);
  plan_ = replan.next->plan;
  moving_ = true;
}

double Replanner::counted_bytes() const {
  const Ledger& ledger = trainer_.ledger();
  const int64_t iterations = ledger.iterations - settled_ledger_.iterations;
  const int64_t bytes = sent_by_iterations(ledger.traffic - settled_ledger_.traffic);
  return over_ranks(comm_, static_cast<double>(bytes)).mean / static_cast<double>(std::max<int64_t>(1, iterations));
}

std::string Replanner::saved_plan_path(const std::string& folder) {
  return folder + "/plan.json";
}

void Replanner::save(const std::string& folder) const {
  std::filesystem::create_directories(folder);
  write_text_file(counts_path(folder, comm_.rank()), counter_.serialize());
  if (comm_.rank() != 0) return;
  save_plan(saved_plan_path(folder), settled_plan_, system_.topology);
  if (!trainer_.migration()) return;
  const MigrationState& state = trainer_.migration()->state();
  save_plan(folder + "/next_plan.json", plan_, system_.topology);
  write_text_file(
      folder + "/move.json",
      json{{"copies_per_move", state.copies_per_move}, {"slices", state.slices}, {"done", state.done}}.dump(2));
}

void Replanner::load(const std::string& folder) {
  counter_.restore(read_text_file(counts_path(folder, comm_.rank())));
  const std::string next = folder + "/next_plan.json";
  if (!std::filesystem::exists(next)) return;
  plan_ = load_plan(next, system_.topology);
  trainer_.continue_migration(resolve(plan_, system_), read_move(folder + "/move.json"));
  moving_ = trainer_.migration() != nullptr;
}

}  // namespace sparrow
