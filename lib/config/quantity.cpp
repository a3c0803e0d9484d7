#include "config/quantity.hpp"

#include <charconv>
#include <cmath>
#include <limits>
#include <span>

#include "base/error.hpp"

namespace sparrow {
namespace {

struct Unit {
  std::string_view name;
  double value;
};

constexpr Unit kBytes[] = {{"B", 1},        {"kB", 1e3},     {"KB", 1e3},     {"MB", 1e6},     {"GB", 1e9},
                           {"TB", 1e12},    {"PB", 1e15},    {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30},
                           {"TiB", 0x1p40}, {"PiB", 0x1p50}, {"", 1}};
constexpr Unit kBytesPerSecond[] = {{"B/s", 1},          {"kB/s", 1e3},       {"MB/s", 1e6},       {"GB/s", 1e9},
                                    {"TB/s", 1e12},      {"KiB/s", 0x1p10},   {"MiB/s", 0x1p20},   {"GiB/s", 0x1p30},
                                    {"TiB/s", 0x1p40},   {"bit/s", 0.125},    {"kbit/s", 1e3 / 8}, {"Mbit/s", 1e6 / 8},
                                    {"Gbit/s", 1e9 / 8}, {"Tbit/s", 1e12 / 8}};
constexpr Unit kSeconds[] = {{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}};
constexpr Unit kPerSecond[] = {{"/s", 1}, {"k/s", 1e3}, {"M/s", 1e6}, {"G/s", 1e9}, {"T/s", 1e12}};
constexpr Unit kFlop[] = {{"flop/s", 1}, {"Mflop/s", 1e6}, {"Gflop/s", 1e9}, {"Tflop/s", 1e12}, {"Pflop/s", 1e15}};

struct Kind {
  std::span<const Unit> units;
  const char* wanted;
  bool unlimited;
};

Kind kind_of(Quantity quantity) {
  switch (quantity) {
    case Quantity::bytes:
      return {kBytes, "a number of bytes such as 16GiB or 80GB", false};
    case Quantity::bytes_per_second:
      return {kBytesPerSecond, "a bandwidth such as 25GB/s or 200Gbit/s", true};
    case Quantity::seconds:
      return {kSeconds, "a time such as 5us or 20ms", false};
    case Quantity::per_second:
      return {kPerSecond, "a rate such as 2G/s", true};
    case Quantity::flop_per_second:
      return {kFlop, "a compute rate such as 60Tflop/s", true};
  }
  fail("quantity {} does not exist", static_cast<int>(quantity));
}

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

}  // namespace

double parse_quantity(std::string_view text, Quantity quantity) {
  const Kind kind = kind_of(quantity);
  if (kind.unlimited && text == "unlimited") return kUnlimited;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number)) fail("'{}' is not {}", text, kind.wanted);
  if (std::signbit(number)) fail("'{}' is negative; expected {}", text, kind.wanted);
  std::string_view unit = text.substr(end - text.data());
  if (number == 0 && unit.empty()) return 0;
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const Unit& known : kind.units) {
    if (known.name != unit) continue;
    const double value = number * known.value;
    if (!std::isfinite(value)) break;
    return value;
  }
  fail("'{}' is not {}", text, kind.wanted);
}

int64_t parse_bytes(std::string_view text) {
  const double value = parse_quantity(text, Quantity::bytes);
  if (value > 0x1p60 || value != std::floor(value)) fail("'{}' is not a whole number of bytes up to 2^60", text);
  return static_cast<int64_t>(value);
}

std::string format_quantity(double value, Quantity quantity) {
  const Kind kind = kind_of(quantity);
  if (std::isinf(value) && kind.unlimited) return "unlimited";
  SPARROW_CHECK(value >= 0 && std::isfinite(value), "{} has no text", value);
  std::string best;
  for (const Unit& unit : kind.units) {
    const std::string text = fmt::format("{}{}", value / unit.value, unit.name);
    if ((best.empty() || text.size() < best.size()) && parse_quantity(text, quantity) == value) best = text;
  }
  return best;  // the base unit always reads back
}

}  // namespace sparrow
