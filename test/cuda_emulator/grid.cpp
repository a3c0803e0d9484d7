// Execution of a grid: blocks one after the other, on CUDA_EMULATOR_THREADS threads. A block that waits for another one
// (a flag in global memory, a grid-wide barrier) lets that one run: more and more blocks are then in flight at the same
// time.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>

#include "allocations.hpp"
#include "base/subnormals.hpp"
#include "handlers.hpp"
#include "races.hpp"

namespace sparrow::emulator {
namespace {

constexpr unsigned kMultiprocessors = 132;
constexpr uint64_t kBlockBudget = 1000000;  ///< steps of a warp before others go on
constexpr uint64_t kShortBudget = 20000;    ///< the same once blocks wait for each other
constexpr size_t kMostBlocks = 4096;        ///< in flight
constexpr uint64_t kWorkspaceBytes = 256;

std::atomic<uint64_t> executed_total{0};

/// Memory of blocks, reused from launch to launch. What a kernel finds in fresh memory is not zero.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() {
    for (const Chunk& chunk : chunks_) std::free(chunk.data);
  }

  char* take(uint64_t bytes) {
    bytes = (bytes + 63) / 64 * 64;
    for (;; ++current_, used_ = 0) {
      if (current_ == chunks_.size()) {
        const uint64_t size = std::max<uint64_t>(bytes, 1 << 20);
        chunks_.push_back({static_cast<char*>(std::aligned_alloc(64, size)), size});
        std::memset(chunks_.back().data, 0xde, size);
      }
      if (used_ + bytes <= chunks_[current_].bytes) break;
    }
    char* data = chunks_[current_].data + used_;
    used_ += bytes;
    return data;
  }
  void reset() { current_ = used_ = 0; }

 private:
  struct Chunk {
    char* data;
    uint64_t bytes;
  };
  std::vector<Chunk> chunks_;
  size_t current_ = 0;
  uint64_t used_ = 0;
};

void set_special(Warp& warp, Special s, uint32_t value) {
  auto* to = reinterpret_cast<uint32_t*>(warp.registers + offset_of(s));
  std::fill(to, to + kSpecialBytes / sizeof(uint32_t), s == Special::zero ? 0 : value);
}

template <class F>
void set_special_by_lane(Warp& warp, Special s, F value) {
  auto* to = reinterpret_cast<uint32_t*>(warp.registers + offset_of(s));
  for (uint32_t lane = 0; lane < kLanes; ++lane) to[lane] = value(lane);
}

void set_constant_specials(Warp& warp, const Launch& launch, uint32_t warps) {
  const uint32_t first = warp.id * kLanes;
  const dim3 b = launch.block, g = launch.grid;
  set_special_by_lane(warp, Special::tid_x, [=](uint32_t lane) { return (first + lane) % b.x; });
  set_special_by_lane(warp, Special::tid_y, [=](uint32_t lane) { return (first + lane) / b.x % b.y; });
  set_special_by_lane(warp, Special::tid_z, [=](uint32_t lane) { return (first + lane) / (b.x * b.y); });
  set_special_by_lane(warp, Special::laneid, [](uint32_t lane) { return lane; });
  set_special_by_lane(warp, Special::lanemask_eq, [](uint32_t lane) { return 1u << lane; });
  set_special_by_lane(warp, Special::lanemask_lt, [](uint32_t lane) { return (1u << lane) - 1; });
  set_special_by_lane(warp, Special::lanemask_le,
                      [](uint32_t lane) { return static_cast<uint32_t>((2ull << lane) - 1); });
  set_special_by_lane(warp, Special::lanemask_gt,
                      [](uint32_t lane) { return ~static_cast<uint32_t>((2ull << lane) - 1); });
  set_special_by_lane(warp, Special::lanemask_ge, [](uint32_t lane) { return ~((1u << lane) - 1); });
  const std::pair<Special, uint64_t> uniform[] = {
      {Special::ntid_x, b.x},
      {Special::ntid_y, b.y},
      {Special::ntid_z, b.z},
      {Special::nctaid_x, g.x},
      {Special::nctaid_y, g.y},
      {Special::nctaid_z, g.z},
      {Special::warpid, warp.id},
      {Special::nwarpid, warps},
      {Special::nsmid, kMultiprocessors},
      {Special::dynamic_smem_size, launch.dynamic_shared},
      {Special::total_smem_size, launch.function->shared_bytes + launch.dynamic_shared},
      {Special::zero, 0},
      {Special::one, 1},
      {Special::envreg1, launch.workspace >> 32},
      {Special::envreg2, launch.workspace & 0xffffffff},
      {Special::clock, 0},
      {Special::globaltimer, 0}};
  for (const auto& [s, value] : uniform) set_special(warp, s, static_cast<uint32_t>(value));
}

std::unique_ptr<Block> make_block(const Launch& launch, Arena& arena) {
  auto block = std::make_unique<Block>();
  const auto warps = static_cast<uint32_t>((launch.block_threads() + kLanes - 1) / kLanes);
  block->warps.resize(warps);
  block->shared = arena.take(kDynamicShared + launch.dynamic_shared + 64);
  for (uint32_t k = 0; k < warps; ++k) {
    Warp& warp = block->warps[k];
    warp.id = k;
    warp.registers = arena.take(launch.register_bytes + 256);
    warp.parameters = arena.take(kLanes * launch.module->parameter_space);
    warp.local = arena.take(kLanes * launch.local_bytes + 64);
    set_constant_specials(warp, launch, warps);
  }
  return block;
}

void start_block(Block& block, const Launch& launch, uint64_t number) {
  block.linear = number;
  block.id[0] = static_cast<uint32_t>(number % launch.grid.x);
  block.id[1] = static_cast<uint32_t>(number / launch.grid.x % launch.grid.y);
  block.id[2] = static_cast<uint32_t>(number / (uint64_t{launch.grid.x} * launch.grid.y));
  block.epoch = 1;
  block.accesses.clear();
  block.started = false;
  std::fill(block.arrived, block.arrived + 16, 0);
  // Shared memory starts as NaN.
  std::memset(block.shared, 0xff, launch.function->shared_bytes);
  std::memset(block.shared + kDynamicShared, 0xff, launch.dynamic_shared);
  const auto threads = static_cast<uint32_t>(launch.block_threads());
  for (Warp& warp : block.warps) {
    const uint32_t have = std::min<uint32_t>(kLanes, threads - warp.id * kLanes);
    warp.running = have == kLanes ? ~0u : (1u << have) - 1;
    warp.exited = ~warp.running;
    warp.at_barrier = warp.at_sync = 0;
    warp.copies.clear();
    for (int lane = 0; lane < kLanes; ++lane) {
      warp.pc[lane] = launch.function->start;
      warp.calls[lane].clear();
      warp.reduction[lane] = nullptr;
      warp.copy_group[lane] = 0;
    }
    set_special(warp, Special::ctaid_x, block.id[0]);
    set_special(warp, Special::ctaid_y, block.id[1]);
    set_special(warp, Special::ctaid_z, block.id[2]);
    set_special(warp, Special::smid, static_cast<uint32_t>(number % kMultiprocessors));
  }
}

/// Runs blocks of the grid until none is left.
void run_blocks(const Launch& launch, std::atomic<uint64_t>& next) {
  const SubnormalMode as_the_gpu(Subnormals::keep);
  static thread_local Arena arena;
  arena.reset();
  alignas(64) char sink[kLanes * 16];
  Context context;
  context.launch = &launch;
  context.banks[static_cast<int>(Bank::constants)] = const_cast<char*>(launch.module->constants.data());
  context.banks[static_cast<int>(Bank::sink)] = sink;

  std::deque<std::unique_ptr<Block>> in_flight;
  std::vector<std::unique_ptr<Block>> idle;
  // The blocks of a cooperative grid must all be in flight: they wait for each other.
  size_t most = launch.cooperative ? kMostBlocks : 1, fruitless = 0;
  uint64_t budget = launch.cooperative ? kShortBudget : kBlockBudget;
  while (true) {
    while (in_flight.size() < most) {
      const uint64_t number = next.fetch_add(1);
      if (number >= launch.blocks()) {
        next.store(launch.blocks());
        break;
      }
      if (idle.empty()) idle.push_back(make_block(launch, arena));
      start_block(*idle.back(), launch, number);
      in_flight.push_back(std::move(idle.back()));
      idle.pop_back();
    }
    if (in_flight.empty()) break;
    std::unique_ptr<Block> block = std::move(in_flight.front());
    in_flight.pop_front();
    if (run_block(context, *block, budget) == Progress::blocked) {
      idle.push_back(std::move(block));
      fruitless = 0;
      continue;
    }
    in_flight.push_back(std::move(block));
    if (++fruitless >= in_flight.size()) {  // all in flight wait, perhaps for one that is not
      most = std::min(most * 2, kMostBlocks);
      budget = std::max(budget / 2, kShortBudget);
      fruitless = 0;
    }
  }
  executed_total += context.executed;
}

/// Where the threads of a cooperative grid meet: its first word is its size, the rest are counters.
struct Workspace {
  void* data = std::aligned_alloc(256, kWorkspaceBytes);

  Workspace() {
    std::memset(data, 0, kWorkspaceBytes);
    *static_cast<uint32_t*>(data) = static_cast<uint32_t>(kWorkspaceBytes);
    add_allocation(data, kWorkspaceBytes);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  ~Workspace() {
    remove_allocation(data);
    std::free(data);
  }
};

}  // namespace

uint64_t executed_instructions() {
  return executed_total;
}

void run_grid(Launch& launch) {
  static const int64_t wanted_threads = std::max<int64_t>(number_set("CUDA_EMULATOR_THREADS", 1), 1);
  std::unique_ptr<Workspace> workspace;
  if (launch.cooperative) {
    workspace = std::make_unique<Workspace>();
    launch.workspace = reinterpret_cast<uint64_t>(workspace->data);
  }
  if (checks_global_races()) start_global_race_check(launch);
  const int64_t threads =
      checks_global_races() ? 1 : std::min<int64_t>(wanted_threads, static_cast<int64_t>(launch.blocks()));
  std::atomic<uint64_t> next{0};
  std::vector<std::jthread> helpers;
  for (int64_t k = 1; k < threads; ++k) helpers.emplace_back([&] { run_blocks(launch, next); });
  run_blocks(launch, next);
}

}  // namespace sparrow::emulator
