// Execution of a warp. Lanes that are at the same instruction execute it together; of several groups the one that is
// furthest behind goes first, so that lanes which took different branches meet again where the branches do. That is one
// of the orders a GPU may choose.
#include <algorithm>
#include <climits>
#include <cstring>

#include "handlers.hpp"

namespace sparrow::emulator {
namespace {

/// Steps after which a group that loops lets the other groups of its warp go on: it may wait for them.
constexpr uint64_t kGroupBudget = 20000;

class WarpRun {
 public:
  WarpRun(Context& context, uint64_t budget, bool fair)
      : context_(context),
        warp_(*context.warp),
        code_(context.launch->module->code.data()),
        limit_(warp_.steps + budget),
        turn_(static_cast<uint32_t>(warp_.steps)),
        fair_(fair) {
    context.banks[0] = warp_.registers;
  }

  Progress run();

 private:
  enum class Next { instruction, group, leave };

  void choose_group();
  Next step();
  Next advance();  ///< to the next instruction
  Next branch(const Instruction& in, uint32_t taken);
  void branch_by_table(const Instruction& in, uint32_t taken);
  void leave_function(const Instruction& in, uint32_t leaving);
  Next sync(const Instruction& in, uint32_t lanes);
  Next aligned(const Instruction& in, uint32_t lanes);
  void barrier(const Instruction& in, uint32_t lanes);
  void set_pc(uint32_t lanes, int pc) {
    for_lanes(lanes, [&](int lane) { warp_.pc[lane] = pc; });
  }
  void stop_running(uint32_t lanes, uint32_t& where) {
    warp_.running &= ~lanes;
    where |= lanes;
  }

  Context& context_;
  Warp& warp_;
  const Instruction* code_;
  const uint64_t limit_;
  uint32_t turn_;
  bool fair_;
  Progress left_with_ = Progress::blocked;

  uint32_t group_ = 0;        ///< lanes that execute together
  int pc_ = 0;                ///< and where
  int next_other_ = INT_MAX;  ///< the nearest place ahead where other lanes are: there the groups may merge
  uint64_t group_limit_ = 0;
};

void WarpRun::choose_group() {
  pc_ = INT_MAX;
  for_lanes(warp_.running, [&](int lane) { pc_ = std::min(pc_, warp_.pc[lane]); });
  if (fair_) {
    uint32_t candidates = warp_.running;
    for (int skip = static_cast<int>(turn_++ % static_cast<uint32_t>(std::popcount(candidates))); skip > 0; --skip)
      candidates &= candidates - 1;
    pc_ = warp_.pc[std::countr_zero(candidates)];
    fair_ = false;
  }
  group_ = 0;
  next_other_ = INT_MAX;
  // Lanes that wait at a warp-wide operation join those that arrive there.
  for_lanes(warp_.running | warp_.at_sync, [&](int lane) {
    if (warp_.pc[lane] == pc_) {
      group_ |= 1u << lane;
    } else if ((warp_.running >> lane & 1) && warp_.pc[lane] > pc_) {
      next_other_ = std::min(next_other_, warp_.pc[lane]);
    }
  });
  const bool alone = next_other_ == INT_MAX && (warp_.running & ~group_) == 0;
  group_limit_ = alone ? limit_ : std::min(limit_, warp_.steps + kGroupBudget);
}

WarpRun::Next WarpRun::advance() {
  if (++pc_ < next_other_) return Next::instruction;
  set_pc(group_, pc_);
  return Next::group;
}

WarpRun::Next WarpRun::branch(const Instruction& in, uint32_t taken) {
  if (!taken) return advance();
  if (taken != group_) {
    set_pc(taken, in.target);
    set_pc(group_ & ~taken, pc_ + 1);
    fair_ = warp_.steps >= group_limit_;
    left_with_ = Progress::spinning;
    return warp_.steps >= limit_ ? Next::leave : Next::group;
  }
  if (in.target <= pc_ && warp_.steps >= group_limit_) {  // a loop that has had its turn
    set_pc(group_, in.target);
    fair_ = true;
    left_with_ = Progress::spinning;
    return warp_.steps >= limit_ ? Next::leave : Next::group;
  }
  pc_ = in.target;
  if (pc_ < next_other_) return Next::instruction;
  set_pc(group_, pc_);
  return Next::group;
}

void WarpRun::branch_by_table(const Instruction& in, uint32_t taken) {
  set_pc(group_ & ~taken, pc_ + 1);
  const uint32_t* indices = context_.lanes<uint32_t>(in.arguments[0]);
  for_lanes(taken, [&](int lane) {
    if (indices[lane] >= in.targets.size()) fault(context_, "brx.idx index out of range", lane, indices[lane]);
    warp_.pc[lane] = in.targets[indices[lane]];
  });
}

void WarpRun::leave_function(const Instruction& in, uint32_t leaving) {
  set_pc(group_ & ~leaving, pc_ + 1);
  uint32_t ended = 0;
  for_lanes(leaving, [&](int lane) {
    std::vector<Frame>& calls = warp_.calls[lane];
    if (in.control == Control::exit || calls.empty()) {
      ended |= 1u << lane;
      return;
    }
    const Frame frame = calls.back();
    calls.pop_back();
    char* parameters = warp_.parameters + static_cast<uint64_t>(lane) * context_.launch->module->parameter_space;
    if (frame.result_target != kNowhere) {
      std::memcpy(parameters + frame.result_target, parameters + frame.result_offset, frame.result_bytes);
    }
    warp_.pc[lane] = frame.return_to;
  });
  if (!ended) return;
  if (!warp_.copies.empty()) complete_copies(context_, ended, -1);
  stop_running(ended, warp_.exited);
}

/// Executed by those lanes whose members are all here; the others wait for them.
WarpRun::Next WarpRun::sync(const Instruction& in, uint32_t lanes) {
  const uint32_t* members = context_.lanes<uint32_t>(in.arguments[4]);
  uint32_t ready = 0;
  for_lanes(lanes, [&](int lane) {
    if (!(members[lane] >> lane & 1)) fault(context_, "a lane is not in its own member mask", lane);
    if ((members[lane] & ~warp_.exited & ~group_) == 0) ready |= 1u << lane;
  });
  ++warp_.sync_epoch;
  for (uint32_t left = ready; left;) {  // lanes that name the same members execute together
    const uint32_t mask = members[std::countr_zero(left)];
    uint32_t together = 0;
    for_lanes(left, [&](int lane) { together |= uint32_t{members[lane] == mask} << lane; });
    context_.active = together;
    in.handler(context_, in);
    left &= ~together;
  }
  const uint32_t waiting = lanes & ~ready;
  warp_.running = (warp_.running | group_) & ~waiting;
  warp_.at_sync = (warp_.at_sync & ~group_) | waiting;
  if (!waiting) return advance();
  set_pc(group_ & ~waiting, pc_ + 1);
  set_pc(waiting, pc_);
  return Next::group;
}

/// Executed when all 32 lanes are here.
WarpRun::Next WarpRun::aligned(const Instruction& in, uint32_t lanes) {
  if (lanes) {
    if (lanes != group_) fault(context_, "an .aligned instruction under a divergent predicate");
    if (warp_.exited) fault(context_, "an .aligned instruction in a warp with exited or missing threads");
    if (group_ != ~0u) {
      set_pc(group_, pc_);
      stop_running(group_, warp_.at_sync);
      return Next::group;
    }
    ++warp_.sync_epoch;
    in.handler(context_, in);
  }
  warp_.running |= group_;
  warp_.at_sync &= ~group_;
  return advance();
}

void WarpRun::barrier(const Instruction& in, uint32_t lanes) {
  set_pc(group_, pc_ + 1);
  const auto kind = static_cast<BarrierKind>(in.variant);
  for_lanes(lanes, [&](int lane) {
    const uint32_t number = context_.lanes<uint32_t>(in.arguments[1])[lane];
    if (number > 15) fault(context_, "barrier number out of range", lane, number);
    if (kind == BarrierKind::arrive) {
      ++context_.block->arrived[number];
      return;
    }
    warp_.barrier[lane] = static_cast<uint8_t>(number);
    warp_.barrier_threads[lane] = in.arguments[2].present ? context_.lanes<int>(in.arguments[2])[lane] : 0;
    warp_.reduction[lane] = kind == BarrierKind::wait ? nullptr : &in;
    if (kind != BarrierKind::wait) warp_.reduction_value[lane] = context_.mask(in.arguments[3]) >> lane & 1;
    stop_running(1u << lane, warp_.at_barrier);
  });
}

WarpRun::Next WarpRun::step() {
  const Instruction& in = code_[pc_];
  context_.instruction = &in;
  uint32_t lanes = group_;
  if (in.predicate >= 0) {
    const uint32_t guard = *reinterpret_cast<const uint32_t*>(warp_.registers + in.predicate);
    lanes &= in.predicate_negated ? ~guard : guard;
  }
  context_.executed += static_cast<uint64_t>(std::popcount(lanes));
  context_.active = lanes;
  ++warp_.steps;
  switch (in.control) {
    case Control::none:
      if (lanes) in.handler(context_, in);
      return advance();
    case Control::branch:
      return branch(in, lanes);
    case Control::branch_table:
      branch_by_table(in, lanes);
      return Next::group;
    case Control::ret:
    case Control::exit:
      leave_function(in, lanes);
      return Next::group;
    case Control::call:
      set_pc(group_ & ~lanes, pc_ + 1);
      if (lanes) call_function(context_, pc_);
      return Next::group;
    case Control::sync:
      return sync(in, lanes);
    case Control::aligned:
      return aligned(in, lanes);
    case Control::barrier:
      barrier(in, lanes);
      return Next::group;
    case Control::yield:
      if (!lanes) return advance();
      set_pc(group_, pc_ + 1);
      left_with_ = Progress::yielded;
      return Next::leave;
  }
  return Next::group;
}

Progress WarpRun::run() {
  while (true) {
    if (!warp_.running) {
      if (!warp_.at_sync) return Progress::blocked;
      const int lane = std::countr_zero(warp_.at_sync);
      context_.instruction = &code_[warp_.pc[lane]];
      fault(context_,
            warp_.at_barrier ? "DEADLOCK: a lane waits at a warp-wide operation for lanes that are at a barrier"
                             : "DEADLOCK: a warp-wide operation is never reached by all lanes of its mask",
            lane);
    }
    choose_group();
    Next next = Next::instruction;
    while (next == Next::instruction) next = step();
    if (next == Next::leave) return left_with_;
  }
}

}  // namespace

Progress run_warp(Context& context, uint64_t budget, bool fair) {
  return WarpRun(context, budget, fair).run();
}

}  // namespace sparrow::emulator
