#include "placement/model/locality_profile.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.hpp"

namespace sparrow::placement {

namespace {

using Bin = LocalityMeasurement::Bin;

/// One of the measurements with its part in the answer.
struct Part {
  const LocalityMeasurement* measurement;
  int level;  ///< of it, from 1
  double weight;
};

/// Between neighbours `low` and `high` of a value, linear in the logarithm: the weight of `high`.
double weight_between(double low, double high, double value) {
  if (low >= high) return 0;
  return std::clamp(std::log(value / low) / std::log(high / low), 0.0, 1.0);
}

/// A level of a measured system: its batch, below domains of which `above` exist in all, each with `children`.
struct LevelShape {
  double above = 1, children = 1;
  auto operator<=>(const LevelShape&) const = default;
};

LevelShape shape_of(const std::vector<int64_t>& domains, int level) {
  const double above = level == 1 ? 1 : static_cast<double>(domains[level - 2]);
  return {above, static_cast<double>(domains[level - 1]) / above};
}

/// Of equal levels those of the batches next to the one asked for, with weights that sum to 1.
std::vector<Part> by_batch(const std::vector<Part>& equal, double batch) {
  const Part *below = nullptr, *beyond = nullptr;
  for (const Part& part : equal) {
    const int64_t size = part.measurement->global_batch;
    if (static_cast<double>(size) <= batch && (below == nullptr || size > below->measurement->global_batch))
      below = &part;
    if (static_cast<double>(size) >= batch && (beyond == nullptr || size < beyond->measurement->global_batch))
      beyond = &part;
  }
  if (below == nullptr) below = beyond;
  if (beyond == nullptr) beyond = below;
  const double weight = weight_between(static_cast<double>(below->measurement->global_batch),
                                       static_cast<double>(beyond->measurement->global_batch), batch);
  if (weight == 0) return {{below->measurement, below->level, 1}};
  return {{below->measurement, below->level, 1 - weight}, {beyond->measurement, beyond->level, weight}};
}

class Interpolation {
 public:
  Interpolation(const LocalityProfile& profile, const Workload& workload, const LocalityQuestion& question)
      : profile_(profile), workload_(workload), question_(question) {}

  /// What a level of this shape does, from measured levels like it.
  std::vector<Part> parts_like(const LevelShape& shape);

  /// A factor of table t at x expected lookups.
  double factor(const std::vector<Part>& parts, int t, double x,
                std::vector<double> LocalityMeasurement::Factors::*kind) const;
  /// The same mean of a number of the measurement as a whole.
  double mean(const std::vector<Part>& parts, double LocalityMeasurement::*number) const;

  /// Lookups at which the factors of table t are given: those of all bins they are made from, and powers of 2 as far as
  /// rows of the workload are beyond.
  std::vector<double> grid(const std::vector<Part>& parts, int t) const;

  const std::vector<std::string>& notes() const { return notes_; }

 private:
  double batch() const { return static_cast<double>(workload_.global_batch); }
  /// Whether what was measured is the whole run that is asked about.
  bool whole(const LocalityMeasurement& m) const {
    return m.first_counted == 0 && question_.batches > 0 && m.global_batch == workload_.global_batch &&
           question_.batches <= static_cast<double>(m.batches) + 1;
  }
  double factor(const LocalityMeasurement& m, int level, int t, double x,
                std::vector<double> LocalityMeasurement::Factors::*kind) const;

  const LocalityProfile& profile_;
  const Workload& workload_;
  const LocalityQuestion question_;
  std::vector<std::string> notes_;
};

std::vector<Part> Interpolation::parts_like(const LevelShape& shape) {
  std::map<LevelShape, std::vector<Part>> measured;  // below the root, or further down, as is asked
  for (const LocalityMeasurement& m : profile_.measurements)
    for (int level = 1; level <= m.depth(); ++level) {
      const LevelShape of = shape_of(m.domains, level);
      if ((of.above == 1) == (shape.above == 1) && of.children > 1) measured[of].push_back({&m, level, 1});
    }
  if (measured.empty()) {  // nothing so far down: as if there were nothing above
    notes_.push_back(fmt::format("no measurement of {} domains below each of {}: taken to be like {} below one",
                                 shape.children, shape.above, shape.children));
    return parts_like({1, shape.children});
  }
  const auto distance = [&](const LevelShape& of) {
    return std::hypot(std::log(of.above / shape.above), std::log(of.children / shape.children));
  };
  const auto least = [&](bool fewer) {
    const std::pair<const LevelShape, std::vector<Part>>* best = nullptr;
    for (const auto& candidate : measured)
      if (fewer ? candidate.first.children <= shape.children : candidate.first.children >= shape.children)
        if (best == nullptr || distance(candidate.first) < distance(best->first)) best = &candidate;
    return best;
  };
  const auto* low = least(true);
  const auto* high = least(false);
  if (low == nullptr || high == nullptr) {
    const auto* nearest = low == nullptr ? high : low;
    notes_.push_back(
        fmt::format("{} domains below one: beyond what was measured, {}", shape.children, nearest->first.children));
    low = high = nearest;
  }
  const double weight = weight_between(low->first.children, high->first.children, shape.children);
  std::vector<Part> parts;
  for (const auto& [side, share] : {std::pair(low, 1 - weight), std::pair(high, weight)})
    if (share > 0)
      for (const Part& part : by_batch(side->second, batch()))
        parts.push_back({part.measurement, part.level, part.weight * share});
  return parts;
}

double Interpolation::factor(const LocalityMeasurement& m, int level, int t, double x,
                             std::vector<double> LocalityMeasurement::Factors::*kind) const {
  const std::vector<Bin>& bins = m.tables[t];
  if (bins.empty()) return 1;
  const auto above = std::find_if(bins.begin(), bins.end(), [&](const Bin& bin) { return bin.lookups >= x; });
  const Bin& high = above == bins.end() ? bins.back() : *above;
  const Bin& low = above == bins.begin() || above == bins.end() ? high : *(above - 1);
  const double weight = &low == &high ? 0 : weight_between(low.lookups, high.lookups, x);
  const auto between = [&](double a, double b) { return (1 - weight) * a + weight * b; };
  const double share = whole(m)      ? between(low.new_share, high.new_share)
                       : m.first_use ? new_share(x, question_.batches, question_.counted)
                                     : 0;
  const double held = between((low.of_held.*kind)[level - 1], (high.of_held.*kind)[level - 1]);
  const double fresh = between((low.of_new.*kind)[level - 1], (high.of_new.*kind)[level - 1]);
  return share * fresh + (1 - share) * held;
}

double Interpolation::factor(const std::vector<Part>& parts, int t, double x,
                             std::vector<double> LocalityMeasurement::Factors::*kind) const {
  double sum = 0;
  for (const Part& part : parts) sum += part.weight * factor(*part.measurement, part.level, t, x, kind);
  return sum;
}

double Interpolation::mean(const std::vector<Part>& parts, double LocalityMeasurement::*number) const {
  double sum = 0;
  for (const Part& part : parts) sum += part.weight * part.measurement->*number;
  return sum;
}

std::vector<double> Interpolation::grid(const std::vector<Part>& parts, int t) const {
  std::vector<double> grid;
  for (const Part& part : parts)
    for (const Bin& bin : part.measurement->tables[t])
      if (bin.lookups > 0) grid.push_back(bin.lookups);
  const Table& table = workload_.tables[t];
  double least = HUGE_VAL, most = 0;
  for (const std::vector<double>& group : table.access.p)
    for (const double p : group)
      if (p > 0) {
        least = std::min(least, p * table.lookups * batch());
        most = std::max(most, p * table.lookups * batch());
      }
  const double first = grid.empty() ? most : *std::min_element(grid.begin(), grid.end());
  const double last = grid.empty() ? most : *std::max_element(grid.begin(), grid.end());
  for (double x = first / 2; x >= least / 2; x /= 2) grid.push_back(x);
  for (double x = last * 2; x <= most * 2; x *= 2) grid.push_back(x);
  std::sort(grid.begin(), grid.end());
  // Bins of two measurements that nearly coincide are one.
  grid.erase(std::unique(grid.begin(), grid.end(), [](double a, double b) { return b < a * (1 + 1e-9); }), grid.end());
  return grid;
}

/// Rows that get a holder in a batch, on average over the run.
double new_rows(const Workload& workload, const LocalityQuestion& question) {
  double rows = 0;
  const double batches = question.batches;
  if (batches <= 0) return 0;
  for (const Table& table : workload.tables)
    for (size_t c = 0; c < table.access.classes(); ++c) {
      const double lookups = table.access.p[0][c] * table.lookups * static_cast<double>(workload.global_batch);
      const double used = question.counted && lookups > 0 ? 1 : -std::expm1(-lookups * batches);
      rows += static_cast<double>(table.access.rows[c]) * used / batches;
    }
  return rows;
}

}  // namespace

double new_share(double lookups, double batches, bool counted) {
  if (batches <= 0) return 0;
  const double u = -std::expm1(-lookups);
  if (counted) return 1 / std::max(1.0, batches * u);
  return u > 0 ? -std::expm1(-lookups * batches) / (batches * u) : 1;
}

double sample_bytes(const Workload& workload, double dense_features) {
  double bytes = 1 + 4 * dense_features;
  for (const Table& table : workload.tables) {
    int64_t width = 1;
    for (int64_t last = (table.access.total_rows() - 1) >> 8; last > 0; last >>= 8) ++width;
    bytes += table.lookups * static_cast<double>(width);
  }
  return bytes;
}

LocalityAnswer locality_for(const LocalityProfile& profile, const Topology& topology, const Workload& workload,
                            const LocalityQuestion& question) {
  if (profile.measurements.empty()) fail("the locality profile has no measurements");
  if (profile.tables() != std::ssize(workload.tables))
    fail("the locality profile is of {} tables, the workload has {}", profile.tables(), workload.tables.size());
  const Tree tree(topology);
  LocalityAnswer answer;
  if (tree.ranks() == 1) return answer;
  Interpolation interpolation(profile, workload, question);
  std::vector<std::vector<Part>> levels;  // empty where every domain has a single child
  double above = 1;
  for (int level = 1; level <= tree.depth(); ++level) {
    double domains = 0;
    for (const int type : tree.at_level(level)) domains += static_cast<double>(tree.instances(type));
    levels.push_back(domains > above ? interpolation.parts_like({above, domains / above}) : std::vector<Part>());
    above = domains;
  }
  const auto deepest = std::find_if(levels.rbegin(), levels.rend(), [](const auto& parts) { return !parts.empty(); });
  for (int t = 0; t < profile.tables(); ++t) {
    std::vector<Locality::Bin>& bins = answer.locality.tables.emplace_back();
    for (const double x : interpolation.grid(*deepest, t)) {
      Locality::Bin& bin = bins.emplace_back();
      bin.lookups = x;
      for (const std::vector<Part>& parts : levels) {
        using Factors = LocalityMeasurement::Factors;
        bin.into.push_back(parts.empty() ? 1 : interpolation.factor(parts, t, x, &Factors::into));
        bin.distinct.push_back(parts.empty() ? 1 : interpolation.factor(parts, t, x, &Factors::distinct));
      }
    }
  }
  const LocalityMeasurement& nearest = *deepest->front().measurement;
  answer.locality.local = true;
  answer.locality.first_use = nearest.first_use;
  answer.locality.passes = nearest.passes;
  answer.locality.busiest = interpolation.mean(*deepest, &LocalityMeasurement::busiest);
  answer.locality.sample_bytes = sample_bytes(workload, question.dense_features);
  answer.locality.new_holder_bytes =
      new_rows(workload, question) * interpolation.mean(*deepest, &LocalityMeasurement::new_row_bytes);
  answer.locality.seconds_per_sample = interpolation.mean(*deepest, &LocalityMeasurement::seconds_per_sample);
  answer.notes = interpolation.notes();
  return answer;
}

}  // namespace sparrow::placement
