// Calls of device functions, direct and through pointers, and of the functions that CUDA's runtime provides to kernels.
// Functions share one frame of registers and parameters per lane (see Module), so recursion is refused.
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "allocations.hpp"
#include "machine.hpp"

namespace sparrow::emulator {
namespace {

/// One lane's parameter space.
char* parameter(const Context& context, int lane, uint64_t offset) {
  return context.warp->parameters + static_cast<uint64_t>(lane) * context.launch->module->parameter_space + offset;
}

template <class Q>
Q read_parameter(const Context& context, int lane, const Operand& operand) {
  Q value;
  std::memcpy(&value, parameter(context, lane, operand.value), sizeof value);
  return value;
}

/// Takes the values of printf's arguments, which lie one after the other, each aligned to its size.
class PrintfArguments {
 public:
  explicit PrintfArguments(const char* data) : data_(data) {}

  template <class Q>
  Q next() {
    offset_ = (offset_ + sizeof(Q) - 1) / sizeof(Q) * sizeof(Q);
    Q value;
    std::memcpy(&value, data_ + offset_, sizeof value);
    offset_ += sizeof(Q);
    return value;
  }

 private:
  const char* data_;
  size_t offset_ = 0;
};

/// One conversion ("%-5lld") at `format`, which is moved behind it.
std::string printed(const char*& format, PrintfArguments& arguments) {
  std::string specification = "%";
  bool is_long = false;
  for (; *format && !std::isalpha(static_cast<unsigned char>(*format)); ++format) {
    specification += *format == '*' ? std::to_string(arguments.next<int>()) : std::string(1, *format);
  }
  for (; *format == 'l' || *format == 'h' || *format == 'z'; ++format) is_long = is_long || *format != 'h';
  const char conversion = *format ? *format++ : 'd';
  char text[512] = "";
  if (std::strchr("fFgGeEaA", conversion)) {
    std::snprintf(text, sizeof text, (specification + conversion).c_str(), arguments.next<double>());
  } else if (conversion == 's' || conversion == 'p') {
    std::snprintf(text, sizeof text, (specification + conversion).c_str(), arguments.next<const char*>());
  } else {
    const bool is_signed = conversion == 'd' || conversion == 'i';
    const long long value = is_long     ? arguments.next<long long>()
                            : is_signed ? arguments.next<int32_t>()
                                        : static_cast<long long>(arguments.next<uint32_t>());
    if (conversion == 'c') {
      std::snprintf(text, sizeof text, (specification + 'c').c_str(), static_cast<int>(value));
    } else {
      std::snprintf(text, sizeof text, (specification + "ll" + conversion).c_str(), value);
    }
  }
  return text;
}

std::string printed_text(const char* format, const char* data) {
  std::string text;
  PrintfArguments arguments(data);
  while (*format) {
    if (*format != '%') {
      text += *format++;
    } else if (format[1] == '%') {
      text += '%';
      format += 2;
    } else {
      text += printed(++format, arguments);
    }
  }
  return text;
}

void call_printf(Context& context, const std::vector<Operand>& operands) {
  for_lanes(context.active, [&](int lane) {
    const auto format = read_parameter<const char*>(context, lane, operands.at(2));
    const auto list = read_parameter<uint64_t>(context, lane, operands.at(3));  // in local memory, or null
    const char* data =
        (list & kWindowMask) == kLocalWindow
            ? context.warp->local + static_cast<uint64_t>(lane) * context.launch->local_bytes + (list & 0xffffffff)
            : "";
    const std::string text = printed_text(format, data);
    std::fwrite(text.data(), 1, text.size(), stdout);
  });
}

[[noreturn]] void fail_assertion(Context& context, const std::vector<Operand>& operands) {
  const int lane = context.first_active();
  std::fflush(stdout);
  std::fprintf(stderr, "%s:%u: Assertion `%s` failed.\n", read_parameter<const char*>(context, lane, operands.at(3)),
               read_parameter<uint32_t>(context, lane, operands.at(4)),
               read_parameter<const char*>(context, lane, operands.at(2)));
  fault(context, "device assertion");
}

void call_malloc(Context& context, const std::vector<Operand>& operands) {
  for_lanes(context.active, [&](int lane) {
    const auto bytes = read_parameter<uint64_t>(context, lane, operands.at(2));
    void* data = std::aligned_alloc(16, (bytes + 31) / 16 * 16);
    add_allocation(data, bytes);
    std::memcpy(parameter(context, lane, operands.at(0).value), &data, sizeof data);
  });
}

void call_free(Context& context, const std::vector<Operand>& operands) {
  for_lanes(context.active, [&](int lane) {
    auto* data = read_parameter<void*>(context, lane, operands.at(2));
    if (data && !remove_allocation(data))
      fault(context, "free of what was not allocated", lane, reinterpret_cast<uint64_t>(data));
    std::free(data);
  });
}

bool call_builtin(Context& context, const std::string& name) {
  const std::vector<Operand>& operands = context.instruction->source->operands;
  if (name == "vprintf") {
    call_printf(context, operands);
  } else if (name == "__assertfail") {
    fail_assertion(context, operands);
  } else if (name == "malloc") {
    call_malloc(context, operands);
  } else if (name == "free") {
    call_free(context, operands);
  } else {
    return false;
  }
  return true;
}

const std::string& callee_of(Context& context, const Operand& callee, int lane) {
  if (callee.kind != Operand::reg) return callee.symbol;
  const uint64_t address = reinterpret_cast<const uint64_t*>(context.banks[0] + callee.offset)[lane];
  const uint64_t id = address & ~kWindowMask;
  const Module& module = *context.launch->module;
  if ((address & kWindowMask) != kFunctionWindow || id >= module.function_of_id.size()) {
    fault(context, "call through a bad function pointer", lane, address);
  }
  return module.function_of_id[id];
}

}  // namespace

void call_function(Context& context, int pc) {
  const std::vector<Operand>& operands = context.instruction->source->operands;  // result, callee, arguments
  const Module& module = *context.launch->module;
  Warp& warp = *context.warp;
  if (operands[1].kind != Operand::reg && call_builtin(context, operands[1].symbol)) {
    for_lanes(context.active, [&](int lane) { warp.pc[lane] = pc + 1; });
    return;
  }
  for_lanes(context.active, [&](int lane) {
    const std::string& name = callee_of(context, operands[1], lane);
    const auto found = module.functions.find(name);
    if (found == module.functions.end() || found->second.start < 0)
      fault(context, ("call of undefined function " + name).c_str(), lane);
    const Function& f = found->second;
    bool recursive = pc >= f.start && pc < f.end;
    for (const Frame& frame : warp.calls[lane])
      recursive = recursive || (frame.return_to >= f.start && frame.return_to < f.end);
    if (recursive) fault(context, "recursion is not supported", lane);
    for (size_t k = 0; k < f.parameters.size() && k + 2 < operands.size(); ++k) {
      std::memcpy(parameter(context, lane, f.parameters[k].offset), parameter(context, lane, operands[k + 2].value),
                  f.parameters[k].size);
    }
    const bool wants_result = operands[0].kind == Operand::immediate && f.has_result;
    warp.calls[lane].push_back({pc + 1, f.has_result ? static_cast<int>(f.result.offset) : -1,
                                wants_result ? operands[0].value : kNowhere, f.result.size});
    warp.pc[lane] = f.start;
  });
}

}  // namespace sparrow::emulator
