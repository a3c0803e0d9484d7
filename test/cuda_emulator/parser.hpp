// The parser of PTX as a class, for the files that implement it: parser.cpp (functions and names),
// parser_declarations.cpp (registers and variables) and parser_instructions.cpp. Everybody else calls parse_module of
// ptx.hpp.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "lexer.hpp"
#include "ptx.hpp"

namespace sparrow::emulator {

inline uint64_t round_up(uint64_t value, uint64_t to) {
  return (value + to - 1) / to * to;
}

/// %r<100>: registers %r0 to %r99 of `size` bytes a lane.
struct RegisterRange {
  std::string prefix;
  uint64_t base;
  int count;
  int size;
};

inline uint64_t register_bytes(int size) {
  return size == 0 ? 4 : kLanes * static_cast<uint64_t>(size);
}

/// What is declared between two braces, and labels that were used in it.
struct Scope {
  struct Register {
    uint64_t offset;
    int size;
  };
  struct Fixup {
    int instruction;
    std::string label;
  };
  std::unordered_map<std::string, Register> registers;
  std::vector<RegisterRange> ranges;
  std::map<std::string, Variable> variables;
  std::map<std::string, int> labels;
  std::vector<Fixup> fixups;
  std::map<std::string, std::vector<std::string>> branch_tables;
};

/// The type, alignment and name of a variable or parameter, up to its name.
struct Declaration {
  uint64_t alignment = 1;
  Type type = Type::b8;
  int vector = 1;
  std::string name;

  uint64_t element_bytes() const { return static_cast<uint64_t>(size_of(type) * vector); }
};

class Parser {
 public:
  Parser(Module& module, const std::string& text) : module_(module), lexer_(text) {}
  void run();

 private:
  // Names
  bool find_register(const std::string& name, int& offset, uint8_t& size) const;
  const Variable* find_variable(const std::string& name) const;
  bool find_address(const std::string& name, uint64_t& address) const;

  // Declarations
  Declaration declaration();
  void registers();
  void variables(Space space);
  uint64_t place_variable(Space space, uint64_t size, uint64_t alignment, bool dynamic,
                          const std::vector<unsigned char>& initial);
  void initial_values(const Declaration& d, std::vector<unsigned char>& bytes);
  void initial_value(const std::string& first, const Declaration& d, std::vector<unsigned char>& bytes);

  // Functions
  void function(bool is_kernel);
  std::vector<Parameter> parameter_list(Function& f);
  void close_scope();
  void statement();
  bool label_or_table(const std::string& token);

  // Instructions
  Operand operand();
  Operand memory_operand();
  void instruction(std::string token, size_t begin);
  void split_opcode(const std::string& opcode, Instruction& in);
  void call_operands(std::vector<Operand>& operands);

  void move_down(Operand& operand, uint64_t distance) const;

  // A kernel's registers lie behind those of all functions, whose total is known at the end only: they are first given
  // offsets from here, which are moved down when the module is complete.
  static constexpr uint64_t kKernelMark = 1u << 30;

  Module& module_;
  Lexer lexer_;
  Function* function_ = nullptr;
  std::vector<Scope> scopes_;
  uint64_t next_register_ = 0;
  bool external_ = false;
};

}  // namespace sparrow::emulator
