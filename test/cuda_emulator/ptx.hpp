// A PTX module in memory: what the parser makes of nvcc's text and the decoder prepares for execution. Written from the
// PTX ISA manual (docs.nvidia.com/cuda/parallel-thread-execution), as far as nvcc's output and inline assembly use it.
// What is not known ends the program with the instruction's text when it is executed.
//
// A warp's registers are one block of memory, a register 32 values side by side (a predicate: one 32-bit mask), so that
// an instruction is a loop over 32 lanes which compilers vectorise. The decoder replaces register names by offsets into
// that block and constants by offsets into a pool of 32-fold copies.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sparrow::emulator {

/// Prints "cuda emulator: message" and aborts: what a GPU would answer with an error, or silently get wrong, has to be
/// seen.
[[noreturn]] void die(const char* format, ...) __attribute__((format(printf, 1, 2)));

constexpr int kLanes = 32;

enum class Type : uint8_t {
  b8,
  u8,
  s8,
  b16,
  u16,
  s16,
  f16,
  bf16,
  f16x2,
  bf16x2,
  b32,
  u32,
  s32,
  f32,
  tf32,
  b64,
  u64,
  s64,
  f64,
  b128,
  pred,
  none
};

int size_of(Type type);                  ///< bytes; 4 for a predicate (a mask of lanes) and for none
Type type_named(std::string_view name);  ///< none when nothing is called so
bool is_signed_integer(Type type);

enum class Space : uint8_t { generic, global, shared, local, constant, param };

// Generic addresses carry their space in the top byte; 0 is global memory, whose addresses are the host's.
constexpr uint64_t kSharedWindow = 1ull << 56;
constexpr uint64_t kLocalWindow = 2ull << 56;
constexpr uint64_t kFunctionWindow = 3ull << 56;
constexpr uint64_t kWindowMask = 255ull << 56;

/// Shared memory: static variables from 0, dynamic memory from here.
constexpr uint64_t kDynamicShared = 65536;

/// Parameter space: a kernel's parameters from 0; those of functions that it calls from here.
constexpr uint64_t kKernelParameters = 4352;

/// An operand as written. `value` is an immediate, or the displacement of a memory operand, whose base register is
/// offset and size.
struct Operand {
  enum Kind : uint8_t { sink, reg, immediate, memory, label, vector } kind = sink;
  int offset = -1;   ///< of the register in the warp's block
  uint8_t size = 0;  ///< bytes of one lane's value; 0 for a predicate
  bool negated = false;
  int second_offset = -1;  ///< of q in p|q
  uint64_t value = 0;
  std::string symbol;
  std::vector<Operand> elements;
};

/// An operand as handlers use it: an offset into one of the banks of Context.
enum class Bank : uint8_t { registers, constants, sink };
struct Argument {
  uint32_t offset = 0;
  Bank bank = Bank::registers;
  uint8_t size = 0;
  bool present = false;
  bool negated = false;
};

/// What an instruction was made from; the inner loop does not touch it, except for error messages.
struct Source {
  std::string opcode, text;
  std::vector<std::string> modifiers;
  std::vector<Operand> operands;
  int line = 0;

  bool has(std::string_view modifier) const {
    for (const std::string& m : modifiers) {
      if (m == modifier) return true;
    }
    return false;
  }
};

/// What an instruction does to the order of execution.
enum class Control : uint8_t {
  none,
  branch,
  branch_table,
  ret,
  exit,
  call,
  barrier,  ///< waits for other warps of the block
  sync,     ///< waits for the lanes named in its member mask (argument 4)
  aligned,  ///< executed by the whole warp together
  yield     ///< may wait for another warp: a good moment to let that run
};

enum Flag : uint32_t {
  kSaturate = 1,
  kRoundNearestInt = 2,
  kRoundZeroInt = 4,
  kRoundDownInt = 8,
  kRoundUpInt = 16,
  kWide = 32,
  kHigh = 64,
  kRoundZero = 128,
  kRoundDown = 256,
  kRoundUp = 512,
  kNanPropagates = 1024,
  kRelu = 2048,
  kStrong = 4096,
  kOrdered = 8192,
  kRoundNearestAway = 16384
};

struct Context;
struct Instruction;
using Handler = void (*)(Context&, const Instruction&);

struct Instruction {
  Handler handler = nullptr;
  int predicate = -1;  ///< offset of the guard's register
  bool predicate_negated = false;
  int target = -1;  ///< of a branch
  Control control = Control::none;
  Type type = Type::none, second_type = Type::none;
  Space space = Space::generic;
  uint8_t vector_size = 1;
  uint8_t variant = 0;  ///< which of a handler's cases
  uint32_t flags = 0;
  int64_t immediate = 0;  ///< displacement of the memory operand, or what the handler says
  Argument arguments[5];
  std::vector<Argument> elements;  ///< of a vector operand
  std::vector<int> targets;        ///< of a branch table
  std::unique_ptr<Source> source;
};

struct Variable {
  Space space = Space::global;
  uint64_t offset = 0, size = 0;
};

struct Parameter {
  uint64_t offset = 0, size = 0;
};

struct Function {
  std::string name;
  bool is_kernel = false;
  int id = 0;
  int start = -1, end = -1;  ///< instructions; -1: declared only
  std::vector<Parameter> parameters;
  Parameter result;
  bool has_result = false;
  uint64_t parameter_bytes = 0, shared_bytes = 0, local_bytes = 0, register_bytes = 0;
  int max_threads = 0;  ///< of a block, 0: unlimited
};

struct Module {
  std::vector<Instruction> code;
  std::map<std::string, Function> functions;
  std::vector<std::string> function_of_id;
  std::map<std::string, Variable> globals;
  std::vector<char> constants;  ///< 32 copies of each constant
  std::map<std::pair<uint64_t, int>, uint32_t> constant_offsets;
  // Functions other than kernels share their registers, local memory and parameter space: recursion is refused.
  uint64_t function_registers = 0, function_local_bytes = 0, parameter_space = kKernelParameters, shared_bytes = 0;
  int target = 0;  ///< 80 for sm_80
};

/// Parses and decodes. Ends the program at what it cannot read.
void parse_module(Module& module, const std::string& text);

/// Chooses the handler of an instruction and fixes its arguments.
void decode(Module& module, Instruction& instruction);

/// The argument for an operand of `size` bytes a lane (0: a predicate).
Argument argument_of(Module& module, const Operand& operand, int size);

/// The base register of a memory operand; absent when the address is a constant.
Argument base_of(const Operand& operand);

// --- Special registers: fixed places at the start of every warp's block
// -------------------------------------------------------------

enum class Special : int {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  lanemask_eq,
  lanemask_lt,
  lanemask_le,
  lanemask_gt,
  lanemask_ge,
  smid,
  nsmid,
  dynamic_smem_size,
  total_smem_size,
  zero,
  one,
  clock,
  globaltimer,
  envreg1,
  envreg2,
  count
};
constexpr uint32_t kSpecialBytes = 256;  ///< reserved for each: 32 values of 8 bytes

constexpr int offset_of(Special s) {
  return static_cast<int>(s) * static_cast<int>(kSpecialBytes);
}

/// Finds a special register by its name in PTX.
bool find_special(const std::string& name, int& offset, uint8_t& size);

}  // namespace sparrow::emulator
