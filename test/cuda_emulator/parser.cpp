// PTX text to Module: names, scopes and functions.
#include "parser.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace sparrow::emulator {

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

void parse_module(Module& module, const std::string& text) {
  Parser(module, text).run();
}

}  // namespace sparrow::emulator
