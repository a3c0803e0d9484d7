#include "run/plan_changes.hpp"

#include <algorithm>

#include "comm/collectives.hpp"
#include "run/replanning_state.hpp"

namespace sparrow {

PlanChanges::PlanChanges(Run& run)
    : run_(run),
      trainer_(*run.trainer),
      replanner_(run.options, run.data, run.tables, run.system, run.planned.plan),
      settled_plan_(run.planned.plan) {}

void PlanChanges::save(const std::string& folder) const {
  save_replanning(folder, run_.system, trainer_.context().comm.rank(), replanner_, settled_plan_, trainer_);
}

void PlanChanges::load(const std::string& folder) {
  load_replanning(folder, run_.system, trainer_.context().comm.rank(), replanner_, trainer_);
  moving_ = trainer_.migration() != nullptr;
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
