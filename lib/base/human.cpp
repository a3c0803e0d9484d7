#include "base/human.hpp"

#include <fmt/format.h>

#include <cmath>
#include <span>

namespace sparrow {
namespace {

struct Unit {
  double value;
  const char* name;
};

/// Three significant digits in the largest unit not above the value.
std::string scaled(double value, std::span<const Unit> units) {
  if (!std::isfinite(value)) return value > 0 ? "unlimited" : "-";
  const Unit* unit = &units.back();
  for (const Unit& candidate : units) {
    if (std::abs(value) < candidate.value * 0.9995) continue;
    unit = &candidate;
    break;
  }
  const double number = value / unit->value;
  const int digits = std::abs(number) < 9.995 ? 2 : std::abs(number) < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}{}{}", number, value == 0 ? 0 : digits, *unit->name ? " " : "", unit->name);
}

}  // namespace

std::string human_seconds(double seconds) {
  constexpr Unit kUnits[] = {{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}, {1e-12, "ps"}};
  if (seconds == 0) return "0 s";
  return scaled(seconds, kUnits);
}

std::string human_bytes(double bytes) {
  constexpr Unit kUnits[] = {{1e15, "PB"}, {1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}, {1, "B"}};
  return scaled(bytes, kUnits);
}

std::string human_number(double value) {
  constexpr Unit kUnits[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}, {1, ""}};
  return scaled(value, kUnits);
}

std::string with_commas(int64_t value) {
  const std::string digits = fmt::format("{}", value);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > (value < 0 ? 1u : 0u) && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

}  // namespace sparrow
