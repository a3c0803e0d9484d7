// PTX text to Module: operands and instructions.
#include <algorithm>
#include <unordered_map>

#include "parser.hpp"

namespace sparrow::emulator {

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

}  // namespace sparrow::emulator
