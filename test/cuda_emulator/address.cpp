#include "address.hpp"

#include <algorithm>

#include "allocations.hpp"
#include "races.hpp"

namespace sparrow::emulator {
namespace {

/// Addresses in shared and local memory are 32 bits; generic ones carry the space above.
constexpr uint64_t kOffsetMask = 0xffffffff;

void note_shared(Context& context, const uint64_t* addresses, int bytes, bool writes, bool atomic) {
  for_lanes(context.active,
            [&](int l) { note_shared_access(context, l, addresses[l] & kOffsetMask, bytes, writes, atomic); });
}

void check_shared(const Context& context, const uint64_t* addresses, int bytes) {
  for_lanes(context.active, [&](int l) {
    if (!in_shared(context, addresses[l] & kOffsetMask, bytes)) {
      fault(context, "shared memory access out of bounds", l, addresses[l] & kOffsetMask);
    }
  });
}

void check_local(const Context& context, const uint64_t* addresses, int bytes) {
  for_lanes(context.active, [&](int l) {
    if ((addresses[l] & kOffsetMask) + static_cast<uint64_t>(bytes) > context.launch->local_bytes) {
      fault(context, "local memory access out of bounds", l, addresses[l]);
    }
  });
}

Space space_of(uint64_t generic) {
  switch (generic & kWindowMask) {
    case 0:
      return Space::global;
    case kSharedWindow:
      return Space::shared;
    case kLocalWindow:
      return Space::local;
    default:
      return Space::generic;
  }
}

void resolve_in_space(Context& context, uint64_t* addresses, int bytes, Space space, bool writes, bool atomic,
                      uint64_t low, uint64_t high) {
  switch (space) {
    case Space::global:
    case Space::constant:
      if (low < context.cached_range.begin || high + static_cast<uint64_t>(bytes) > context.cached_range.end ||
          context.cached_generation != allocation_generation()) {
        for_lanes(context.active, [&](int l) { check_global(context, addresses[l], bytes, l); });
      }
      if (checks_global_races()) {
        for_lanes(context.active, [&](int l) { note_global_access(context, l, addresses[l], bytes, writes, atomic); });
      }
      return;
    case Space::shared: {
      check_shared(context, addresses, bytes);
      if (checks_shared_races()) note_shared(context, addresses, bytes, writes, atomic);
      const auto base = reinterpret_cast<uint64_t>(context.block->shared);
      for (int l = 0; l < kLanes; ++l) addresses[l] = base + (addresses[l] & kOffsetMask);
      return;
    }
    case Space::local: {
      check_local(context, addresses, bytes);
      const auto base = reinterpret_cast<uint64_t>(context.warp->local);
      for (int l = 0; l < kLanes; ++l) {
        addresses[l] = base + static_cast<uint64_t>(l) * context.launch->local_bytes + (addresses[l] & kOffsetMask);
      }
      return;
    }
    default:
      fault(context, "a state space that cannot be accessed like this");
  }
}

void parameter_pointers(const Context& context, uint64_t* addresses) {
  for (int l = 0; l < kLanes; ++l) {
    const uint64_t offset = addresses[l];
    addresses[l] = offset < kKernelParameters
                       ? reinterpret_cast<uint64_t>(context.launch->parameters.data()) + offset
                       : reinterpret_cast<uint64_t>(context.warp->parameters) +
                             static_cast<uint64_t>(l) * context.launch->module->parameter_space + offset;
  }
}

}  // namespace

void lane_addresses(const Context& context, const Argument& base, int64_t displacement, uint64_t* addresses) {
  const auto d = static_cast<uint64_t>(displacement);
  if (!base.present) {
    std::fill(addresses, addresses + kLanes, d);
  } else if (base.size == 8) {
    const uint64_t* from = context.lanes<uint64_t>(base);
    for (int l = 0; l < kLanes; ++l) addresses[l] = from[l] + d;
  } else {
    const uint32_t* from = context.lanes<uint32_t>(base);
    for (int l = 0; l < kLanes; ++l) addresses[l] = from[l] + d;
  }
  if (context.active == ~0u) return;
  const uint64_t some = addresses[context.first_active()];
  for (int l = 0; l < kLanes; ++l) addresses[l] = context.active >> l & 1 ? addresses[l] : some;
}

bool in_shared(const Context& context, uint64_t offset, int bytes) {
  const uint64_t end = offset + static_cast<uint64_t>(bytes);
  return end <= context.launch->function->shared_bytes ||
         (offset >= kDynamicShared && end <= kDynamicShared + context.launch->dynamic_shared);
}

char* shared_pointer(Context& context, uint64_t address, int bytes, int lane, bool writes) {
  const uint64_t offset = address & kOffsetMask;
  if (!in_shared(context, offset, bytes)) fault(context, "shared memory access out of bounds", lane, offset);
  if (checks_shared_races()) note_shared_access(context, lane, offset, bytes, writes, false);
  return context.block->shared + offset;
}

void check_global(Context& context, uint64_t address, int bytes, int lane) {
  const uint64_t generation = allocation_generation();
  const uint64_t end = address + static_cast<uint64_t>(bytes);
  if (context.cached_generation == generation && address >= context.cached_range.begin &&
      end <= context.cached_range.end)
    return;
  Range range;
  if (!find_allocation(address, static_cast<uint64_t>(bytes), range))
    fault(context, "illegal global address", lane, address);
  context.cached_range = range;
  context.cached_generation = generation;
}

void resolve_addresses(Context& context, uint64_t* addresses, int bytes, Space space, bool writes, bool atomic) {
  uint64_t low = kNowhere, high = 0, all_bits = 0;
  for (int l = 0; l < kLanes; ++l) {
    low = std::min(low, addresses[l]);
    high = std::max(high, addresses[l]);
    all_bits |= addresses[l];
  }
  if (all_bits & static_cast<uint64_t>(bytes - 1)) {
    for_lanes(context.active, [&](int l) {
      if (addresses[l] & static_cast<uint64_t>(bytes - 1)) fault(context, "misaligned address", l, addresses[l]);
    });
  }
  if (space != Space::generic) return resolve_in_space(context, addresses, bytes, space, writes, atomic, low, high);
  if (space_of(low) == space_of(high)) {
    return resolve_in_space(context, addresses, bytes, space_of(low), writes, atomic, low, high);
  }
  // Generic addresses into different spaces: one lane at a time.
  const uint32_t active = context.active;
  uint64_t some = 0;
  for_lanes(active, [&](int lane) {
    uint64_t single[kLanes];
    std::fill(single, single + kLanes, addresses[lane]);
    context.active = 1u << lane;
    resolve_in_space(context, single, bytes, space_of(addresses[lane]), writes, atomic, addresses[lane],
                     addresses[lane]);
    addresses[lane] = some = single[lane];
  });
  context.active = active;
  for (int l = 0; l < kLanes; ++l) addresses[l] = active >> l & 1 ? addresses[l] : some;
}

void lane_pointers(Context& context, const Instruction& in, const Argument& base, uint64_t* pointers, int bytes,
                   bool writes) {
  lane_addresses(context, base, in.immediate, pointers);
  if (in.space == Space::param) {
    parameter_pointers(context, pointers);
  } else {
    resolve_addresses(context, pointers, bytes, in.space, writes, in.flags & kStrong);
  }
}

}  // namespace sparrow::emulator
