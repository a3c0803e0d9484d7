#include "run/plan_changes.hpp"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/text_file.hpp"
#include "comm/collectives.hpp"
#include "config/plan_file.hpp"

namespace sparrow {

using nlohmann::json;

PlanChanges::PlanChanges(Run& run)
    : run_(run),
      trainer_(*run.trainer),
      replanner_(run.options, run.data, run.tables, run.system, run.planned.plan),
      settled_plan_(run.planned.plan) {}

namespace {

MigrationState read_move(const std::string& path) {
  const json move = json::parse(read_text_file(path), nullptr, false);
  const auto number = [&](const char* key, int64_t least, int64_t most) {
    if (!move.is_object() || !move.contains(key) || !move[key].is_number_integer() ||
        move[key].get<int64_t>() < least || move[key].get<int64_t>() > most)
      fail("{}: {} is missing or not a number from {} to {}", path, key, least, most);
    return move[key].get<int64_t>();
  };
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  return {number("copies_per_move", 1, kMost), static_cast<int>(number("slices", 1, 1 << 20)),
          number("done", 0, kMost)};
}

}  // namespace

std::string PlanChanges::counts_path(const std::string& folder) const {
  return fmt::format("{}/counts_{:05}.bin", folder, run_.context.comm.rank());
}

void PlanChanges::save(const std::string& folder) const {
  std::filesystem::create_directories(folder);
  write_text_file(counts_path(folder), replanner_.counter().serialize());
  if (run_.context.comm.rank() != 0) return;
  save_plan(folder + "/plan.json", settled_plan_, run_.system.topology);
  if (!trainer_.migration()) return;
  const MigrationState& state = trainer_.migration()->state();
  save_plan(folder + "/next_plan.json", replanner_.plan(), run_.system.topology);
  const json move{{"copies_per_move", state.copies_per_move}, {"slices", state.slices}, {"done", state.done}};
  write_text_file(folder + "/move.json", move.dump(2));
}

void PlanChanges::load(const std::string& folder) {
  replanner_.counter().restore(read_text_file(counts_path(folder)));
  const std::string next = folder + "/next_plan.json";
  if (!std::filesystem::exists(next)) return;
  placement::Plan plan = load_plan(next, run_.system.topology);
  trainer_.continue_migration(copy_plan(plan, run_.system), read_move(folder + "/move.json"));
  moving_ = trainer_.migration() != nullptr;
  replanner_.set_plan(std::move(plan));
}

void PlanChanges::note_step(const Batch& batch) {
  replanner_.count(batch);
  if (!moving_ || trainer_.migration()) return;
  moving_ = false;
  trainer_.drain();
  settled_plan_ = replanner_.plan();
  settled_ledger_ = trainer_.ledger();
}

std::optional<Replanning> PlanChanges::ask(int64_t iterations) {
  if (trainer_.migration()) return {};
  trainer_.drain();  // so that the ledger has all of the last step
  Replanning answer = replanner_.consider(trainer_.context().comm, iterations);
  if (answer.changes) answer.why_not = trainer_.lack_of_room(answer.next->copies);
  answer.changes = answer.changes && answer.why_not.empty();
  answer.bytes_counted = counted_bytes();
  settled_ledger_ = trainer_.ledger();
  return answer;
}

void PlanChanges::carry_out(const Replanning& answer) {
  if (!answer.changes) return;
  trainer_.migrate_to(answer.next->copies, answer.copies_per_move);
  replanner_.set_plan(answer.next->plan);
  run_.planned = *answer.next;
  moving_ = true;
}

double PlanChanges::counted_bytes() const {
  const Ledger& ledger = trainer_.ledger();
  const int64_t iterations = ledger.iterations - settled_ledger_.iterations;
  const int64_t bytes = sent_by_iterations(ledger.traffic - settled_ledger_.traffic);
  return over_ranks(trainer_.context().comm, static_cast<double>(bytes)).mean /
         static_cast<double>(std::max<int64_t>(1, iterations));
}

}  // namespace sparrow
