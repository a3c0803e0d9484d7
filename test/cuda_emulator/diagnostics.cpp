// How the emulator speaks: errors that end the program, and switches in the environment.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "machine.hpp"

namespace sparrow::emulator {

void die(const char* format, ...) {
  std::fflush(stdout);
  std::fputs("cuda emulator: ", stderr);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
  std::fflush(stderr);
  std::abort();
}

void fault(const Context& context, const char* what, int lane, uint64_t address) {
  const int l = lane >= 0 ? lane : context.first_active();
  const Source& source = *context.instruction->source;
  die("%s at '%s' (PTX line %d) in %s, block (%u,%u,%u) thread (%u,%u,%u) address 0x%llx", what, source.text.c_str(),
      source.line, context.launch->function->name.c_str(), context.block->id[0], context.block->id[1],
      context.block->id[2], context.special(Special::tid_x)[l], context.special(Special::tid_y)[l],
      context.special(Special::tid_z)[l], static_cast<unsigned long long>(address));
}

bool switch_set(const char* name) {
  return number_set(name, 0) != 0;
}

int64_t number_set(const char* name, int64_t otherwise) {
  const char* value = std::getenv(name);
  return value && *value ? std::atoll(value) : otherwise;
}

}  // namespace sparrow::emulator
