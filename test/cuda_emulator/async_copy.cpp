// cp.async: copies from global to shared memory that are complete only when waited for. They are performed at the wait,
// not at the issue, so that a missing wait reads old data (CUDA_EMULATOR_CPASYNC_EAGER=1 performs them at once).
#include <cstring>

#include "address.hpp"
#include "handlers.hpp"
#include "races.hpp"

namespace sparrow::emulator {
namespace {

enum class Limit : uint8_t { none, bytes, ignore_source };

/// Arguments: to, from, and how much of the source to read (the rest is zeros): a number of bytes, or a predicate to
/// read none.
void issue_copy(Context& context, const Instruction& in) {
  uint64_t to[kLanes], from[kLanes];
  lane_addresses(context, in.arguments[0], in.immediate, to);
  lane_addresses(context, in.arguments[1], static_cast<int64_t>(in.source->operands[1].value), from);
  const int bytes = in.vector_size;
  const auto limit = static_cast<Limit>(in.variant);
  for_lanes(context.active, [&](int lane) {
    const uint64_t target = to[lane] & 0xffffffff;
    if (from[lane] & kWindowMask) fault(context, "the source of cp.async is not global memory", lane, from[lane]);
    if ((target | from[lane]) & static_cast<uint64_t>(bytes - 1))
      fault(context, "misaligned cp.async", lane, from[lane]);
    int from_bytes = bytes;
    if (limit == Limit::bytes) from_bytes = context.lanes<int32_t>(in.arguments[2])[lane];
    if (limit == Limit::ignore_source && (context.mask(in.arguments[2]) >> lane & 1)) from_bytes = 0;
    if (from_bytes < 0 || from_bytes > bytes)
      fault(context, "cp.async reads more than it writes", lane, static_cast<uint64_t>(from_bytes));
    if (!in_shared(context, target, bytes)) fault(context, "shared memory access out of bounds", lane, target);
    if (from_bytes > 0) check_global(context, from[lane], from_bytes, lane);
    context.warp->copies.push_back(
        {static_cast<uint32_t>(lane), context.warp->copy_group[lane], target, from[lane], bytes, from_bytes});
  });
  static const bool eager = switch_set("CUDA_EMULATOR_CPASYNC_EAGER");
  if (eager) complete_copies(context, context.active, -1);
}

void commit_group(Context& context, const Instruction&) {
  for_lanes(context.active, [&](int lane) { ++context.warp->copy_group[lane]; });
}

/// The immediate is how many groups may stay pending; -1: nothing, committed or not.
void wait_group(Context& context, const Instruction& in) {
  complete_copies(context, context.active, static_cast<int>(in.immediate));
}

}  // namespace

void complete_copies(Context& context, uint32_t lanes, int keep) {
  std::vector<PendingCopy>& copies = context.warp->copies;
  const uint32_t active = context.active;
  size_t kept = 0;
  for (const PendingCopy& copy : copies) {
    const int lane = static_cast<int>(copy.lane);
    const bool done = (lanes >> lane & 1) && int64_t{copy.group} < int64_t{context.warp->copy_group[lane]} - keep;
    if (!done) {
      copies[kept++] = copy;
      continue;
    }
    context.active = 1u << lane;
    char* to = shared_pointer(context, copy.to, copy.bytes, lane, true);
    std::memset(to + copy.from_bytes, 0, static_cast<size_t>(copy.bytes - copy.from_bytes));
    if (copy.from_bytes == 0) continue;
    check_global(context, copy.from, copy.from_bytes, lane);
    if (checks_global_races()) note_global_access(context, lane, copy.from, copy.from_bytes, false, false);
    std::memcpy(to, reinterpret_cast<const char*>(copy.from), static_cast<size_t>(copy.from_bytes));
  }
  copies.resize(kept);
  context.active = active;
}

bool decode_async_copy(Module& module, Instruction& in) {
  const Source& source = *in.source;
  if (source.opcode != "cp") return false;
  // Bulk and tensor copies, and those that signal an mbarrier, are refused.
  if (source.has("bulk") || source.has("mbarrier") || !source.has("async")) return true;
  if (source.has("commit_group")) {
    in.handler = commit_group;
  } else if (source.has("wait_all")) {
    in.immediate = -1;
    in.handler = wait_group;
  } else if (source.has("wait_group")) {
    in.immediate = static_cast<int64_t>(source.operands.at(0).value);
    in.handler = wait_group;
  } else {
    in.arguments[0] = base_of(source.operands.at(0));
    in.immediate = static_cast<int64_t>(source.operands[0].value);
    in.arguments[1] = base_of(source.operands.at(1));
    in.vector_size = static_cast<uint8_t>(source.operands.at(2).value);  // 4, 8 or 16 bytes
    Limit limit = Limit::none;
    if (source.operands.size() > 3) {
      const Operand& last = source.operands[3];
      if (last.kind == Operand::reg && last.size == 0) {
        limit = Limit::ignore_source;
        set_argument(module, in, 3, 0);
      } else if (last.kind == Operand::immediate || last.size == 4) {  // size 8 would be a cache policy
        limit = Limit::bytes;
        set_argument(module, in, 3, 4);
      }
      in.arguments[2] = in.arguments[3];
    }
    in.variant = static_cast<uint8_t>(limit);
    in.handler = issue_copy;
  }
  return true;
}

}  // namespace sparrow::emulator
