// sparrow plan --sweep: the same question for a grid of answers, as CSV for scripts/plot.py.
#include <algorithm>

#include "base/error.hpp"
#include "config/quantity.hpp"
#include "config/topology_file.hpp"
#include "placement/baselines/strategies.hpp"
#include "plan_report.hpp"

namespace sparrow {
namespace {

constexpr const char* kKeys[] = {"exponent", "memory", "batch", "dim", "ranks", "bandwidth"};
constexpr size_t kMostPoints = 10'000;

struct Axis {
  std::string key;
  std::vector<std::string> texts;
};

Axis parse_axis(const std::string& text) {
  const size_t equals = text.find('=');
  Axis axis{text.substr(0, equals), {}};
  if (equals == std::string::npos || std::find(std::begin(kKeys), std::end(kKeys), axis.key) == std::end(kKeys))
    fail("--sweep {}: expected KEY=A,B,C with a key of {}", text, fmt::join(kKeys, ", "));
  axis.texts = split_at_commas(text.substr(equals + 1));
  for (const std::string& value : axis.texts)
    if (value.empty()) fail("--sweep {}: an empty value", text);
  return axis;
}

/// Changes the number of ranks that have samples to `wanted`: first the number of the topmost domains, then, when fewer
/// than one of them holds are wanted, that of the next ones.
void scale_ranks(placement::Topology& topology, int64_t wanted) {
  const placement::Tree tree(topology);
  int64_t left = wanted;  // ranks still to be reached, over the levels below
  for (int l = 1; l <= tree.depth(); ++l) {
    int only = -1;
    for (int d : tree.at_level(l)) {
      if (tree.batch_share(d) <= 0) continue;
      if (only >= 0)
        fail("--sweep ranks: {} has different domains at level {}; ranks can be swept where all are equal",
             topology.name, l);
      only = d;
    }
    auto& domain = topology.domains[only];
    const int64_t within = tree.ranks_in(only);
    domain.count = left >= within ? left / within : 1;
    if (left >= within && left % within != 0)
      fail("--sweep ranks: {} is not a multiple of the {} ranks of a {}", wanted, within, domain.name);
    left = left >= within ? within : left;
  }
}

/// Everything that a point of the grid changes.
struct Point {
  PlanRequest request;
  placement::Topology topology;
  bool tables_changed = false;
};

void apply(const std::string& key, const std::string& text, Point& point) {
  const std::string name = "--sweep " + key;
  if (key == "exponent") {
    parse_number(name, text, 0, 99);
    if (point.request.tables.empty()) fail("--sweep exponent: goes with --tables");
    point.request.distribution = fmt::format("zipf:{}", text);
    point.tables_changed = true;
  } else if (key == "memory") {
    point.request.device_memory = parse_bytes(text);
  } else if (key == "batch") {
    point.request.batch = parse_whole(name, text, 1, 0x1p32);
  } else if (key == "dim") {
    point.request.model.embedding_dim = parse_whole(name, text, 1, 0x1p16);
  } else if (key == "ranks") {
    scale_ranks(point.topology, parse_whole(name, text, 1, 0x1p24));
  } else {
    const double factor = parse_number(name, text, 1e-6, 1e6);
    for (auto& domain : point.topology.domains)
      for (auto& port : domain.ports) {
        port.in_bytes_per_s *= factor;
        port.out_bytes_per_s *= factor;
      }
  }
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string csv_row(const std::string& prefix, const std::string& strategy, const placement::Cost& cost,
                    const PlanAnswer& result) {
  if (!cost.infeasible.empty()) return fmt::format("{},{},,,,,,,,,{}\n", prefix, strategy, csv_field(cost.infeasible));
  const double bound = result.decision.bound();
  return fmt::format("{},{},{:.9g},{:.9g},{:.9g},{:.6g},{:.9g},{:.9g},{:.9g},{},\n", prefix, strategy, cost.seconds,
                     cost.samples_per_second, bound, cost.seconds / bound - 1, cost.sent_mean.total(),
                     row_bytes_sent(result, cost), result.decision.floor_bytes, csv_field(cost.bottleneck));
}

std::string csv_rows(const Point& point, const PlanTables& tables, const std::string& prefix) {
  PlanRequest request = point.request;
  request.strategy.reset();  // the optimum comes with all of them
  std::optional<PlanAnswer> result;
  try {
    result = answer(request, tables, point.topology);
  } catch (const Error& error) {
    return fmt::format("{},optimal,,,,,,,,,{}\n", prefix, csv_field(error.what()));
  }
  const PlanRequest& asked = point.request;
  std::string rows;
  if (!asked.strategy) rows += csv_row(prefix, "optimal", result->cost, *result);
  for (const auto& other : result->optimum().strategies)
    if (asked.all_strategies || (asked.strategy && other.name == placement::strategy_name(*asked.strategy)))
      rows += csv_row(prefix, csv_field(other.name), other.cost, *result);
  return rows;
}

}  // namespace

std::string sweep_csv(const PlanRequest& request) {
  std::vector<Axis> axes;
  size_t points = 1;
  for (const std::string& text : request.sweeps) {
    axes.push_back(parse_axis(text));
    for (size_t i = 0; i + 1 < axes.size(); ++i)
      if (axes[i].key == axes.back().key) fail("--sweep {}: given twice", axes.back().key);
    points *= axes.back().texts.size();
    if (points > kMostPoints) fail("--sweep: more than {} points", kMostPoints);
  }
  const placement::Topology topology = load_topology(request.topology);
  PlanRequest first = request;
  for (const Axis& axis : axes)  // a list of rows needs a law from the start
    if (axis.key == "exponent") first.distribution = fmt::format("zipf:{}", axis.texts[0]);
  PlanTables tables = load_plan_tables(first);
  std::string loaded = first.distribution;

  std::string csv = "topology";
  for (const Axis& axis : axes) csv += fmt::format(",{}", axis.key);
  csv +=
      ",strategy,seconds_per_iteration,samples_per_second,bound_seconds,gap,bytes_sent_per_rank,row_bytes,floor_bytes,"
      "bottleneck,infeasible\n";
  for (size_t index = 0; index < points; ++index) {
    Point point{first, topology};
    std::string prefix = csv_field(topology.name);
    size_t rest = index, block = points;
    for (const Axis& axis : axes) {
      block /= axis.texts.size();
      const std::string& text = axis.texts[rest / block];
      rest %= block;
      apply(axis.key, text, point);
      prefix += fmt::format(",{}", csv_field(text));
    }
    if (point.tables_changed && point.request.distribution != loaded) {
      tables = load_plan_tables(point.request);
      loaded = point.request.distribution;
    }
    csv += csv_rows(point, tables, prefix);
  }
  return csv;
}

}  // namespace sparrow
