#include "races.hpp"

#include <cstdio>
#include <set>
#include <utility>

namespace sparrow::emulator {
namespace {

const char* text_of_line(const Module& module, int line) {
  for (const Instruction& in : module.code) {
    if (in.source->line == line) return in.source->text.c_str();
  }
  return "?";
}

}  // namespace

RaceCheck race_check() {
  static const auto check = static_cast<RaceCheck>(number_set("CUDA_EMULATOR_RACE", 0));
  return check;
}

void report_race(Context& context, const char* kind, const char* memory, int lane, uint64_t address,
                 uint64_t other_thread, int other_line) {
  const uint64_t threads = context.launch->block_threads();
  const Source& source = *context.instruction->source;
  char text[1200];
  std::snprintf(text, sizeof text,
                "RACE: %s in %s memory; the other access: block %llu thread %llu, PTX line %d '%s'; this one: block "
                "%llu thread %u,",
                kind, memory, static_cast<unsigned long long>(other_thread / threads),
                static_cast<unsigned long long>(other_thread % threads), other_line,
                text_of_line(*context.launch->module, other_line),
                static_cast<unsigned long long>(context.block->linear),
                context.warp->id * kLanes + static_cast<unsigned>(lane));
  static const bool go_on = switch_set("CUDA_EMULATOR_RACE_CONTINUE");
  if (!go_on) fault(context, text, lane, address);
  static std::set<std::pair<int, int>> seen;
  if (seen.size() < 20 && seen.insert({other_line, source.line}).second) {
    std::fprintf(stderr, "cuda emulator: %s at '%s' (PTX line %d) in %s address 0x%llx\n", text, source.text.c_str(),
                 source.line, context.launch->function->name.c_str(), static_cast<unsigned long long>(address));
  }
}

}  // namespace sparrow::emulator
