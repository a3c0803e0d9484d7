// Classes of parametric laws, with sums over millions of rows by the Euler-Maclaurin formula.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <regex>

#include "access/distributions.hpp"
#include "base/error.hpp"

namespace sparrow {

using placement::TableDistribution;

namespace {

constexpr int64_t kSingles = 64;  // hottest rows that are classes of their own

/// Sum of (r + shift)^-s for integers a <= r <= b. Direct for few terms; else the integral, the mean of the ends and
/// one derivative correction: the next term is below s^3 (a + shift)^-3 / 720 of the first, 1e-7 of the sum at a = 64,
/// s = 4.
double power_sum(double s, double shift, int64_t a, int64_t b) {
  constexpr int64_t kDirect = 32;
  double sum = 0;
  if (b - a < kDirect) {
    for (int64_t r = a; r <= b; ++r) sum += std::pow(static_cast<double>(r) + shift, -s);
    return sum;
  }
  const double x = static_cast<double>(a) + shift, y = static_cast<double>(b) + shift;
  const double fx = std::pow(x, -s), fy = std::pow(y, -s);
  // The integral, written so that s = 1 is not a special case: x^(1-s) * expm1((1-s) log(y/x)) / (1-s).
  const double log_ratio = std::log(y / x);
  const double z = (1 - s) * log_ratio;
  const double integral = x * fx * log_ratio * (std::abs(z) < 1e-12 ? 1 : std::expm1(z) / z);
  return integral + (fx + fy) / 2 + s / 12 * (fx / x - fy / y);
}

struct Piece {  // rows first..last with weight scale * (r + shift)^-s
  int64_t first, last;
  double s, scale;
};

struct Classes {
  std::vector<int64_t> rows;
  std::vector<double> weight;  // of one row
  double worst_ratio = 1;
};

void add_classes(const Piece& piece, double shift, double ratio, Classes& classes) {
  const auto at = [&](int64_t r) { return std::pow(static_cast<double>(r) + shift, -piece.s); };
  for (int64_t a = piece.first; a <= piece.last;) {
    int64_t b = piece.last;
    if (piece.s > 0 && a <= kSingles) {
      b = a;
    } else if (piece.s > 0) {
      const double reach = (static_cast<double>(a) + shift) * std::pow(ratio, 1 / piece.s) - shift;
      if (reach < static_cast<double>(piece.last)) b = std::max(a, static_cast<int64_t>(reach));
    }
    const auto n = b - a + 1;
    classes.rows.push_back(n);
    classes.weight.push_back(piece.scale * power_sum(piece.s, shift, a, b) / static_cast<double>(n));
    classes.worst_ratio = std::max(classes.worst_ratio, at(a) / at(b));
    a = b + 1;
  }
}

double parse_number(std::string_view text, std::string_view whole) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value) || value < 0)
    fail("distribution \"{}\": \"{}\" is not a number of at least 0", whole, text);
  return value;
}

}  // namespace

Law parse_law(std::string_view text) {
  static const std::regex kForms("uniform|zipf:([^+]*)(?:\\+(.*))?|two:([^,]*),([^,]*),(.*)");
  std::cmatch found;
  if (text.size() > 200 || !std::regex_match(text.data(), text.data() + text.size(), found, kForms))
    fail("unknown distribution \"{}\"; expected: uniform, zipf:S, zipf:S+SHIFT, two:S1,R1,S2", text);
  const auto number = [&](int part) {
    return found[part].matched ? parse_number({found[part].first, found[part].second}, text) : 0;
  };
  const double r1 = number(4);
  if (found[4].matched && (r1 < 1 || r1 > 9e18))
    fail("distribution \"{}\": the second slope begins at row {}", text, r1);
  return {{}, number(1) + number(3), number(2), static_cast<int64_t>(r1), number(5)};
}

TableDistribution from_law(const Law& law, int64_t n, double ratio) {
  if (n < 1) fail("distribution: a table of {} rows", n);
  if (!(ratio > 1)) fail("distribution: classes of ratio {} (must be above 1)", ratio);
  if (!(law.s1 >= 0 && law.s2 >= 0 && law.shift >= 0 && law.s1 < 100 && law.s2 < 100))
    fail("distribution: exponents {} and {}, shift {}", law.s1, law.s2, law.shift);
  double head_mass = 0;
  const auto head_size = std::min<int64_t>(n, static_cast<int64_t>(law.head.size()));
  for (int64_t r = 0; r < head_size; ++r) {
    const double p = law.head[r];
    if (!(p >= 0 && p <= 1)) fail("distribution: head[{}] = {} is not a probability", r, p);
    head_mass += p;
  }
  if (head_mass > 1 + 1e-9) fail("distribution: the head's probabilities sum to {}", head_mass);

  Classes tail;
  const int64_t first = head_size + 1;
  const int64_t bend = law.r1 == 0 ? n : std::min(n, std::max(law.r1, head_size));
  if (first <= bend) add_classes({first, bend, law.s1, 1}, law.shift, ratio, tail);
  if (std::max(first, bend + 1) <= n) {
    const double scale = std::pow(static_cast<double>(std::max<int64_t>(law.r1, 1)) + law.shift, law.s2 - law.s1);
    add_classes({std::max(first, bend + 1), n, law.s2, scale}, law.shift, ratio, tail);
  }
  double tail_weight = 0;
  for (size_t c = 0; c < tail.rows.size(); ++c) tail_weight += static_cast<double>(tail.rows[c]) * tail.weight[c];
  const double head_scale = tail.rows.empty() && head_mass > 0 ? 1 / head_mass : 1;
  const double tail_scale = tail_weight > 0 ? std::max(0.0, 1 - head_mass) / tail_weight : 0;

  struct Class {
    double p;
    int64_t rows;
  };
  std::vector<Class> classes;
  for (int64_t r = 0; r < head_size; ++r) classes.push_back({law.head[r] * head_scale, 1});
  for (size_t c = 0; c < tail.rows.size(); ++c) classes.push_back({tail.weight[c] * tail_scale, tail.rows[c]});
  std::stable_sort(classes.begin(), classes.end(), [](const Class& a, const Class& b) { return a.p > b.p; });

  TableDistribution result;
  result.p.resize(1);
  for (const Class& c : classes) {
    result.rows.push_back(c.rows);
    result.p[0].push_back(c.p);
  }
  result.grouping_error = placement::grouping_error_of(tail.worst_ratio);
  return result;
}

}  // namespace sparrow
