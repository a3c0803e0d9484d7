// PTX text to Module: declarations, functions and instructions, with every name resolved.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <unordered_map>

#include "allocations.hpp"
#include "lexer.hpp"
#include "ptx.hpp"

namespace sparrow::emulator {
namespace {

uint64_t round_up(uint64_t value, uint64_t to) {
  return (value + to - 1) / to * to;
}

/// %r<100>: registers %r0 to %r99 of `size` bytes a lane.
struct RegisterRange {
  std::string prefix;
  uint64_t base;
  int count;
  int size;
};

uint64_t register_bytes(int size) {
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

bool Parser::find_register(const std::string& name, int& offset, uint8_t& size) const {
  if (name[0] == '%' && find_special(name, offset, size)) return true;
  size_t digits = name.size();
  while (digits > 0 && std::isdigit(static_cast<unsigned char>(name[digits - 1]))) --digits;
  const size_t digit_count = name.size() - digits;
  const int number = digit_count > 0 && digit_count < 9 ? std::atoi(name.c_str() + digits) : -1;
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const auto found = scope->registers.find(name); found != scope->registers.end()) {
      offset = static_cast<int>(found->second.offset);
      size = static_cast<uint8_t>(found->second.size);
      return true;
    }
    for (const RegisterRange& range : scope->ranges) {
      if (number < 0 || number >= range.count || range.prefix.size() != digits ||
          name.compare(0, digits, range.prefix) != 0)
        continue;
      offset = static_cast<int>(range.base + static_cast<uint64_t>(number) * register_bytes(range.size));
      size = static_cast<uint8_t>(range.size);
      return true;
    }
  }
  return false;
}

const Variable* Parser::find_variable(const std::string& name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const auto found = scope->variables.find(name); found != scope->variables.end()) return &found->second;
  }
  const auto found = module_.globals.find(name);
  return found == module_.globals.end() ? nullptr : &found->second;
}

bool Parser::find_address(const std::string& name, uint64_t& address) const {
  if (const Variable* variable = find_variable(name)) {
    address = variable->offset;
    return true;
  }
  const auto found = module_.functions.find(name);
  if (found == module_.functions.end()) return false;
  address = kFunctionWindow | static_cast<uint64_t>(found->second.id);
  return true;
}

// --- Declarations
// -------------------------------------------------------------------------------------------------------------------

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

// --- Operands
// -----------------------------------------------------------------------------------------------------------------------

Operand Parser::memory_operand() {
  Operand o;
  o.kind = Operand::memory;
  const std::string base = lexer_.next();
  if (!read_number(base, o.value) && !find_register(base, o.offset, o.size)) {
    if (!find_address(base, o.value)) die("PTX line %d: unknown symbol %s", lexer_.line(), base.c_str());
    o.symbol = base;
  }
  for (std::string token = lexer_.next(); token != "]"; token = lexer_.next()) {
    if (token != "+" && token != "-") die("PTX line %d: address form '%s'", lexer_.line(), token.c_str());
    bool negative = token == "-";
    std::string number = lexer_.next();
    if (number == "-") {
      negative = !negative;
      number = lexer_.next();
    }
    uint64_t displacement = 0;
    if (!read_number(number, displacement)) die("PTX line %d: address '%s'", lexer_.line(), number.c_str());
    o.value += negative ? -displacement : displacement;
  }
  return o;
}

Operand Parser::operand() {
  Operand o;
  const std::string token = lexer_.next();
  if (token == "_") return o;
  if (token == "[") return memory_operand();
  if (token == "{") {
    o.kind = Operand::vector;
    do {
      o.elements.push_back(operand());
    } while (lexer_.skip(','));
    lexer_.expect("}");
    return o;
  }
  if (token == "!") {
    o = operand();
    o.negated = !o.negated;
    return o;
  }
  if (token == "-" || token == "~") {
    const std::string number = lexer_.next();
    uint64_t value = 0;
    if (!read_number(number, value)) die("PTX line %d: %s%s", lexer_.line(), token.c_str(), number.c_str());
    o.kind = Operand::immediate;
    o.value = token == "-" ? -value : ~value;
    return o;
  }
  if (token == "WARP_SZ" || read_number(token, o.value)) {
    o.kind = Operand::immediate;
    if (token == "WARP_SZ") o.value = kLanes;
    return o;
  }
  if (find_register(token, o.offset, o.size)) {
    o.kind = Operand::reg;
    if (lexer_.skip('|')) {
      const std::string second = lexer_.next();
      uint8_t size = 0;
      if (second != "_" && !find_register(second, o.second_offset, size))
        die("PTX line %d: %s", lexer_.line(), second.c_str());
    }
    return o;
  }
  o.symbol = token;
  o.kind = Operand::label;
  if (find_address(token, o.value)) {
    o.kind = Operand::immediate;
    while (lexer_.skip('+')) {
      uint64_t more = 0;
      if (read_number(lexer_.next(), more)) o.value += more;
    }
  }
  return o;
}

/// call (result), name, (arguments), prototype;  ->  operands: result (or sink), callee, arguments
void Parser::call_operands(std::vector<Operand>& operands) {
  if (lexer_.skip('(')) {
    operands.push_back(operand());
    lexer_.expect(")");
    lexer_.expect(",");
  } else {
    operands.emplace_back();
  }
  Operand callee;
  callee.symbol = lexer_.next();
  callee.kind = find_register(callee.symbol, callee.offset, callee.size) ? Operand::reg : Operand::label;
  operands.push_back(callee);
  if (lexer_.skip(',') && lexer_.skip('(')) {
    while (!lexer_.skip(')')) {
      operands.push_back(operand());
      lexer_.skip(',');
    }
  }
  lexer_.skip_statement();
}

// --- Instructions
// -------------------------------------------------------------------------------------------------------------------

void Parser::split_opcode(const std::string& opcode, Instruction& in) {
  static const std::unordered_map<std::string, uint32_t> kFlags = {{"sat", kSaturate},
                                                                   {"rni", kRoundNearestInt},
                                                                   {"rzi", kRoundZeroInt},
                                                                   {"rmi", kRoundDownInt},
                                                                   {"rpi", kRoundUpInt},
                                                                   {"rz", kRoundZero},
                                                                   {"rm", kRoundDown},
                                                                   {"rp", kRoundUp},
                                                                   {"wide", kWide},
                                                                   {"hi", kHigh},
                                                                   {"NaN", kNanPropagates},
                                                                   {"relu", kRelu},
                                                                   {"volatile", kStrong},
                                                                   {"relaxed", kStrong},
                                                                   {"acquire", kStrong | kOrdered},
                                                                   {"release", kStrong | kOrdered},
                                                                   {"rna", kRoundNearestAway},
                                                                   {"acq_rel", kStrong | kOrdered}};
  static const std::unordered_map<std::string, Space> kSpaces = {
      {"shared", Space::shared}, {"local", Space::local}, {"const", Space::constant}, {"param", Space::param}};
  Source& source = *in.source;
  size_t begin = opcode.find('.');
  source.opcode = opcode.substr(0, begin);
  while (begin != std::string::npos) {
    const size_t end = opcode.find('.', begin + 1);
    const std::string modifier = opcode.substr(begin + 1, end == std::string::npos ? end : end - begin - 1);
    begin = end;
    source.modifiers.push_back(modifier);
    if (const Type type = type_named(modifier); type != Type::none) {
      if (in.type == Type::none) {
        in.type = type;
      } else if (in.second_type == Type::none) {
        in.second_type = type;
      }
    }
    const std::string stem = modifier.substr(0, modifier.find("::"));  // shared::cta is shared
    if (const auto space = kSpaces.find(stem); space != kSpaces.end()) {
      in.space = space->second;
    } else if (modifier == "global" && (source.opcode != "cp" || in.space == Space::generic)) {
      in.space = Space::global;
    }
    if (modifier == "v2" || modifier == "v4" || modifier == "v8")
      in.vector_size = static_cast<uint8_t>(modifier[1] - '0');
    if (const auto flag = kFlags.find(modifier); flag != kFlags.end()) in.flags |= flag->second;
  }
}

void Parser::instruction(std::string token, size_t begin) {
  Instruction in;
  in.source = std::make_unique<Source>();
  Source& source = *in.source;
  source.line = lexer_.line();
  if (token == "@") {
    token = lexer_.next();
    in.predicate_negated = token == "!";
    if (in.predicate_negated) token = lexer_.next();
    uint8_t size = 0;
    if (!find_register(token, in.predicate, size)) die("PTX line %d: guard %s", lexer_.line(), token.c_str());
    token = lexer_.next();
  }
  split_opcode(token, in);
  if (source.opcode == "call") {
    call_operands(source.operands);
  } else {
    while (!lexer_.skip(';')) {
      source.operands.push_back(operand());
      lexer_.skip(',');
    }
  }
  source.text = lexer_.text_between(begin, lexer_.position());
  std::replace_if(
      source.text.begin(), source.text.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  const int number = static_cast<int>(module_.code.size());
  if (source.opcode == "bra") {
    in.control = Control::branch;
    scopes_.back().fixups.push_back({number, source.operands[0].symbol});
  } else if (source.opcode == "brx") {
    in.control = Control::branch_table;
    scopes_.back().fixups.push_back({number, source.operands[1].symbol});
  }
  module_.code.push_back(std::move(in));
}

bool Parser::label_or_table(const std::string& token) {
  if (!lexer_.skip(':')) return false;
  const std::string directive = lexer_.peek();
  if (directive == ".branchtargets") {
    lexer_.next();
    std::vector<std::string>& table = scopes_.back().branch_tables[token];
    do {
      table.push_back(lexer_.next());
    } while (lexer_.skip(','));
    lexer_.expect(";");
  } else if (directive == ".callprototype" || directive == ".calltargets") {
    lexer_.skip_statement();
  } else {
    scopes_.back().labels[token] = static_cast<int>(module_.code.size());
  }
  return true;
}

void Parser::statement() {
  const std::string token = lexer_.next();
  const size_t begin = lexer_.position() - token.size();
  if (token == "{") {
    scopes_.emplace_back();
  } else if (token == "}") {
    close_scope();
  } else if (token == ";") {
  } else if (token == ".extern") {
    external_ = true;
  } else if (token == ".reg") {
    registers();
  } else if (token == ".shared") {
    variables(Space::shared);
  } else if (token == ".local") {
    variables(Space::local);
  } else if (token == ".param") {
    variables(Space::param);
  } else if (token == ".global") {
    variables(Space::global);
  } else if (token == ".const") {
    variables(Space::constant);
  } else if (token == ".loc" || token == ".file") {
    lexer_.skip_line();
  } else if (token[0] == '.') {
    lexer_.skip_statement();  // .pragma and the like
  } else if (!label_or_table(token)) {
    instruction(token, begin);
  }
}

/// Resolves the labels that this scope knows and hands the others to the one around it.
void Parser::close_scope() {
  Scope closed = std::move(scopes_.back());
  scopes_.pop_back();
  for (const Scope::Fixup& fixup : closed.fixups) {
    Instruction& in = module_.code[static_cast<size_t>(fixup.instruction)];
    bool resolved = false;
    if (in.control == Control::branch_table) {
      const auto table = closed.branch_tables.find(fixup.label);
      resolved = table != closed.branch_tables.end() &&
                 std::all_of(table->second.begin(), table->second.end(),
                             [&](const std::string& l) { return closed.labels.count(l); });
      if (resolved) {
        for (const std::string& label : table->second) in.targets.push_back(closed.labels[label]);
      }
    } else if (const auto label = closed.labels.find(fixup.label); label != closed.labels.end()) {
      in.target = label->second;
      resolved = true;
    }
    if (resolved) continue;
    if (scopes_.size() <= 1) die("PTX: label %s not found", fixup.label.c_str());
    scopes_.back().fixups.push_back(fixup);
  }
  if (scopes_.size() > 1) scopes_.back().branch_tables.insert(closed.branch_tables.begin(), closed.branch_tables.end());
}

// --- Functions
// ----------------------------------------------------------------------------------------------------------------------

std::vector<Parameter> Parser::parameter_list(Function& f) {
  std::vector<Parameter> parameters;
  while (!lexer_.skip(')')) {
    lexer_.next();  // .param
    const Declaration d = declaration();
    uint64_t size = d.element_bytes();
    if (lexer_.skip('[')) {
      size *= std::stoull(lexer_.next());
      lexer_.expect("]");
    }
    uint64_t& used = f.is_kernel ? f.parameter_bytes : module_.parameter_space;
    const uint64_t offset = round_up(used, f.is_kernel ? d.alignment : 16);
    used = offset + size;
    scopes_[0].variables[d.name] = {Space::param, offset, size};
    parameters.push_back({offset, size});
    lexer_.skip(',');
  }
  return parameters;
}

void Parser::function(bool is_kernel) {
  external_ = false;
  scopes_.assign(1, {});
  Function f;
  f.is_kernel = is_kernel;
  if (lexer_.skip('(')) {
    const std::vector<Parameter> results = parameter_list(f);
    f.has_result = !results.empty();
    if (f.has_result) f.result = results[0];
  }
  f.name = lexer_.next();
  if (lexer_.skip('(')) f.parameters = parameter_list(f);
  while (lexer_.peek_character() != '{' && lexer_.peek_character() != ';') {
    const std::string directive = lexer_.next();
    if (directive != ".maxntid" && directive != ".reqntid") continue;
    f.max_threads = 1;
    do {
      f.max_threads *= std::stoi(lexer_.next());
    } while (lexer_.skip(','));
  }
  const auto declared = module_.functions.find(f.name);
  if (declared != module_.functions.end()) {
    f.id = declared->second.id;
  } else {
    f.id = static_cast<int>(module_.function_of_id.size());
    module_.function_of_id.push_back(f.name);
  }
  if (lexer_.skip(';')) {
    module_.functions.emplace(f.name, f);
    return;
  }
  if (is_kernel && f.parameter_bytes > kKernelParameters) die("kernel %s has too many parameters", f.name.c_str());

  lexer_.expect("{");
  f.start = static_cast<int>(module_.code.size());
  f.shared_bytes = module_.shared_bytes;
  function_ = &(module_.functions[f.name] = f);
  next_register_ = is_kernel ? kKernelMark : module_.function_registers;
  const size_t depth = scopes_.size();
  scopes_.emplace_back();
  while (scopes_.size() > depth) statement();
  if (is_kernel) {
    function_->register_bytes = next_register_;
  } else {
    module_.function_registers = round_up(next_register_, 128);
  }
  Instruction end;
  end.source = std::make_unique<Source>();
  end.source->opcode = "ret";
  end.source->text = "<end>";
  end.source->line = lexer_.line();
  module_.code.push_back(std::move(end));
  function_->end = static_cast<int>(module_.code.size());
  function_ = nullptr;
}

void Parser::move_down(Operand& operand, uint64_t distance) const {
  const auto move = [&](int& offset) {
    if (offset >= static_cast<int>(kKernelMark)) offset -= static_cast<int>(distance);
  };
  move(operand.offset);
  move(operand.second_offset);
  for (Operand& element : operand.elements) move_down(element, distance);
}

void Parser::run() {
  module_.function_registers = static_cast<uint64_t>(offset_of(Special::count));
  for (std::string token = lexer_.next(); !token.empty(); token = lexer_.next()) {
    if (token == ".version" || token == ".address_size" || token == ".file") {
      lexer_.skip_line();
    } else if (token == ".target") {
      module_.target = std::atoi(lexer_.next().c_str() + 3);  // sm_80
      lexer_.skip_line();
    } else if (token == ".entry" || token == ".func") {
      function(token == ".entry");
    } else if (token == ".global") {
      variables(Space::global);
    } else if (token == ".const") {
      variables(Space::constant);
    } else if (token == ".shared") {
      variables(Space::shared);
    } else if (token == ".section") {
      while (lexer_.next() != "}") {
      }
    } else if (token == ".extern") {
      external_ = true;
    } else if (token == ".alias" || token == ".pragma") {
      lexer_.skip_statement();
    } else if (token != ".visible" && token != ".weak" && token != ".common" && token != ".noreturn") {
      die("PTX line %d: '%s' at module level", lexer_.line(), token.c_str());
    }
  }
  const uint64_t distance = kKernelMark - module_.function_registers;
  for (auto& [name, f] : module_.functions) {
    if (!f.is_kernel || f.start < 0) continue;
    f.register_bytes -= distance;
    f.shared_bytes = std::max(f.shared_bytes, module_.shared_bytes);
    for (int i = f.start; i < f.end; ++i) {
      Instruction& in = module_.code[static_cast<size_t>(i)];
      if (in.predicate >= static_cast<int>(kKernelMark)) in.predicate -= static_cast<int>(distance);
      for (Operand& o : in.source->operands) move_down(o, distance);
    }
  }
  for (Instruction& in : module_.code) decode(module_, in);
}

}  // namespace

void parse_module(Module& module, const std::string& text) {
  Parser(module, text).run();
}

}  // namespace sparrow::emulator
