// Execution of a block: its warps in turn, forward or (CUDA_EMULATOR_REVERSE=1) backward, and its barriers.
#include "handlers.hpp"

namespace sparrow::emulator {
namespace {

constexpr int kBarriers = 16;
constexpr int kPassesBeforeYield = 64;

uint32_t lanes_at(const Warp& warp, int barrier) {
  uint32_t lanes = 0;
  for_lanes(warp.at_barrier, [&](int lane) { lanes |= uint32_t{warp.barrier[lane] == barrier} << lane; });
  return lanes;
}

/// Lets all threads at a barrier go, and gives those that reduce a predicate the result.
void release(Block& block, int barrier) {
  uint32_t reducing = 0, holding = 0;
  for (const Warp& warp : block.warps) {
    for_lanes(lanes_at(warp, barrier), [&](int lane) {
      if (!warp.reduction[lane]) return;
      ++reducing;
      holding += warp.reduction_value[lane];
    });
  }
  for (Warp& warp : block.warps) {
    const uint32_t lanes = lanes_at(warp, barrier);
    for_lanes(lanes, [&](int lane) {
      const Instruction* in = warp.reduction[lane];
      if (!in) return;
      auto* to = reinterpret_cast<uint32_t*>(warp.registers + in->arguments[0].offset);
      const auto kind = static_cast<BarrierKind>(in->variant);
      if (kind == BarrierKind::count) {
        to[lane] = holding;
      } else {
        const bool result = kind == BarrierKind::all ? holding == reducing : holding > 0;
        *to = (*to & ~(1u << lane)) | uint32_t{result} << lane;
      }
      warp.reduction[lane] = nullptr;
    });
    warp.at_barrier &= ~lanes;
    warp.running |= lanes;
  }
}

/// Releases the barriers that all expected threads have reached: the number they name, or all that have not exited.
bool release_barriers(Block& block, const Launch& launch, uint32_t live) {
  bool released = false;
  for (int barrier = 0; barrier < kBarriers; ++barrier) {
    uint32_t waiting = 0, expected = live;
    for (const Warp& warp : block.warps) {
      for_lanes(lanes_at(warp, barrier), [&](int lane) {
        ++waiting;
        if (warp.barrier_threads[lane]) expected = static_cast<uint32_t>(warp.barrier_threads[lane]);
      });
    }
    if (waiting == 0) continue;
    const uint32_t have = waiting + block.arrived[barrier];
    if (have < expected) continue;
    if (have > expected)
      die("barrier %d of %s: %u threads came where %u are expected", barrier, launch.function->name.c_str(), have,
          expected);
    block.arrived[barrier] = 0;
    ++block.epoch;
    released = true;
    release(block, barrier);
  }
  return released;
}

[[noreturn]] void report_deadlock(Context& context, Block& block) {
  for (Warp& warp : block.warps) {
    if (!warp.at_barrier) continue;
    context.warp = &warp;
    context.banks[0] = warp.registers;
    const int lane = std::countr_zero(warp.at_barrier);
    context.instruction = &context.launch->module->code[static_cast<size_t>(warp.pc[lane] - 1)];
    fault(context, "DEADLOCK: a barrier is not reached by all the threads it expects", lane);
  }
  die("no warp can run");
}

}  // namespace

Progress run_block(Context& context, Block& block, uint64_t budget) {
  static const bool reversed = switch_set("CUDA_EMULATOR_REVERSE");
  context.block = &block;
  const size_t count = block.warps.size();
  bool fair = block.started;
  block.started = true;
  for (int passes = 0;;) {
    bool spinning = false;
    for (size_t k = 0; k < count; ++k) {
      Warp& warp = block.warps[reversed ? count - 1 - k : k];
      if (!warp.running && !warp.at_sync) continue;
      context.warp = &warp;
      spinning |= run_warp(context, budget, fair) == Progress::spinning;
    }
    fair = true;
    uint32_t live = 0, running = 0, waiting = 0;
    for (const Warp& warp : block.warps) {
      live += kLanes - static_cast<uint32_t>(std::popcount(warp.exited));
      running |= warp.running;
      waiting |= warp.at_barrier;
    }
    if (live == 0) return Progress::blocked;
    if (waiting && release_barriers(block, *context.launch, live)) {
      passes = 0;
      fair = false;
    } else if (running) {
      if (spinning || ++passes > kPassesBeforeYield) return Progress::yielded;
    } else {
      report_deadlock(context, block);
    }
  }
}

}  // namespace sparrow::emulator
