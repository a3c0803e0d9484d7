// PTX text to Module: registers and variables.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "allocations.hpp"
#include "parser.hpp"

namespace sparrow::emulator {

Declaration Parser::declaration() {
  Declaration d;
  while (true) {
    const std::string token = lexer_.next();
    if (token == ".align") {
      d.alignment = std::stoull(lexer_.next());
    } else if (token == ".v2" || token == ".v4") {
      d.vector = token[2] - '0';
    } else if (token[0] == '.') {
      if (const Type type = type_named(token.substr(1)); type != Type::none) d.type = type;  // else .ptr and the like
    } else {
      d.name = token;
      d.alignment = std::max(d.alignment, d.element_bytes());
      return d;
    }
  }
}

void Parser::registers() {
  const std::string type_name = lexer_.next();
  const Type type = type_named(type_name.substr(1));
  if (type == Type::none) die("PTX line %d: register type %s", lexer_.line(), type_name.c_str());
  const int size = type == Type::pred ? 0 : size_of(type);
  do {
    const std::string name = lexer_.next();
    next_register_ = round_up(next_register_, 128);
    if (lexer_.skip('<')) {
      const int count = std::stoi(lexer_.next());
      lexer_.expect(">");
      scopes_.back().ranges.push_back({name, next_register_, count, size});
      next_register_ += static_cast<uint64_t>(count) * register_bytes(size);
    } else {
      scopes_.back().registers[name] = {next_register_, size};
      next_register_ += register_bytes(size);
    }
  } while (lexer_.skip(','));
  lexer_.expect(";");
}

void Parser::initial_value(const std::string& first, const Declaration& d, std::vector<unsigned char>& bytes) {
  std::string token = first;
  const bool negative = token == "-";
  if (negative) token = lexer_.next();
  if (token == "generic") {
    lexer_.expect("(");
    token = lexer_.next();
    lexer_.expect(")");
  }
  uint64_t value = 0;
  if (!read_number(token, value) && !find_address(token, value))
    die("PTX line %d: initial value %s", lexer_.line(), token.c_str());
  while (lexer_.skip('+')) {
    uint64_t more = 0;
    read_number(lexer_.next(), more);
    value += more;
  }
  if (negative) value = -value;
  for (int byte = 0; byte < size_of(d.type); ++byte) bytes.push_back(static_cast<unsigned char>(value >> (8 * byte)));
}

void Parser::initial_values(const Declaration& d, std::vector<unsigned char>& bytes) {
  const std::string token = lexer_.next();
  if (token != "{") return initial_value(token, d, bytes);
  while (!lexer_.skip('}')) {
    initial_values(d, bytes);
    lexer_.skip(',');
  }
}

uint64_t Parser::place_variable(Space space, uint64_t size, uint64_t alignment, bool dynamic,
                                const std::vector<unsigned char>& initial) {
  const auto append = [&](uint64_t& used) {
    const uint64_t offset = round_up(used, alignment);
    used = offset + size;
    return offset;
  };
  const bool in_kernel = function_ && function_->is_kernel;
  switch (space) {
    case Space::shared:
      if (dynamic) return kDynamicShared;
      return append(in_kernel ? function_->shared_bytes : module_.shared_bytes);
    case Space::local:
      return append(in_kernel ? function_->local_bytes : module_.function_local_bytes);
    case Space::param:
      alignment = 16;
      return append(module_.parameter_space);
    default:
      break;
  }
  void* memory = std::aligned_alloc(256, round_up(size + 256, 256));
  std::memset(memory, 0, size);
  std::memcpy(memory, initial.data(), std::min<size_t>(initial.size(), size));
  add_allocation(memory, size);
  return reinterpret_cast<uint64_t>(memory);
}

void Parser::variables(Space space) {
  const bool external = external_;
  external_ = false;
  Declaration d = declaration();
  while (true) {
    uint64_t count = 1;
    bool open = false;  // name[]
    while (lexer_.skip('[')) {
      const std::string token = lexer_.next();
      if (token == "]") {
        open = true;
      } else {
        count *= std::stoull(token);
        lexer_.expect("]");
      }
    }
    uint64_t size = count * d.element_bytes();
    std::vector<unsigned char> initial;
    if (lexer_.skip('=')) {
      initial_values(d, initial);
      if (open) size = initial.size();
    }
    const bool dynamic = open || (external && !function_);
    const Variable variable{space, place_variable(space, size, d.alignment, dynamic, initial), size};
    (function_ ? scopes_.back().variables : module_.globals)[d.name] = variable;
    if (!lexer_.skip(',')) break;
    d.name = lexer_.next();
  }
  lexer_.expect(";");
}

}  // namespace sparrow::emulator
