// What both forms of the report are made of.
#include "plan_report.hpp"

#include <algorithm>
#include <numeric>

#include "base/error.hpp"
#include "base/human.hpp"

namespace sparrow {

using placement::Cost;
using placement::Tree;

double Places::total() const {
  return std::accumulate(by_level.begin(), by_level.end(), offloaded);
}

void Places::add(const Places& other, double weight) {
  by_level.resize(other.by_level.size());
  for (size_t l = 0; l < by_level.size(); ++l) by_level[l] += weight * other.by_level[l];
  offloaded += weight * other.offloaded;
}

std::vector<std::string> place_names(const Tree& tree) {
  std::vector<std::string> names = {"held"};
  for (int l = 1; l < tree.depth(); ++l) {
    const auto& types = tree.at_level(l);
    names.push_back(types.size() == 1 ? "per " + tree.domain(types[0]).name : fmt::format("per level {}", l));
  }
  names.push_back("replicated");
  return names;
}

std::vector<TablePlaces> places_of(const PlanAnswer& answer) {
  const Tree tree(answer.topology);
  const auto placed = placement::to_placement(answer.plan, answer.workload);
  std::vector<TablePlaces> result;
  for (size_t t = 0; t < placed.tables.size(); ++t) {
    TablePlaces places;
    places.rows.by_level.resize(static_cast<size_t>(tree.depth()) + 1);
    places.lookups.by_level = places.rows.by_level;
    const auto& access = answer.workload.tables[t].access;
    for (const auto& share : placed.tables[t].shares) {
      const auto& option = placed.options[share.option];
      double p = 0;  // of the mean access group
      for (const auto& group : access.p) p += group[share.cls] / static_cast<double>(access.p.size());
      const bool device =
          std::all_of(option.sites.begin(), option.sites.end(), [&](auto site) { return tree.is_device(site); });
      const auto level = static_cast<size_t>(option.level);
      (device ? places.rows.by_level[level] : places.rows.offloaded) += share.rows;
      (device ? places.lookups.by_level[level] : places.lookups.offloaded) += share.rows * p;
    }
    result.push_back(std::move(places));
  }
  return result;
}

std::vector<PriceSentence> price_sentences(const PlanAnswer& answer) {
  constexpr double kGiB = 0x1p30;
  std::vector<PriceSentence> result;
  for (const auto& price : answer.optimum().prices) {
    PriceSentence line{price, price.seconds_per_unit, ""};
    if (price.kind == "memory") {
      // One GiB more, or a tenth more where a GiB would be far beyond what the multiplier speaks of.
      double step = kGiB;
      for (const auto& store : answer.optimum().cost.stores)
        if (store.name == price.resource) step = std::min(step, 0.1 * store.capacity_bytes);
      line.seconds = std::min(price.seconds_per_unit * step, answer.optimum().cost.seconds);
      line.sentence = fmt::format("{} more in every {} would save {}.", step == kGiB ? "1 GiB" : human_bytes(step),
                                  price.resource, human_seconds(line.seconds));
    } else {
      line.sentence =
          fmt::format("Twice the {} of {} would save up to {}.", price.kind == "bandwidth" ? "bandwidth" : "rate",
                      price.resource, human_seconds(line.seconds));
    }
    if (line.seconds >= 1e-3 * answer.optimum().cost.seconds) result.push_back(std::move(line));
  }
  std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  return result;
}

double row_bytes_sent(const PlanAnswer& answer, const Cost& cost) {
  const double rows =
      cost.sent_mean.rows + cost.sent_mean.gradients + cost.sent_mean.allreduce - answer.dense_bytes_sent;
  return std::max(0.0, rows) * static_cast<double>(Tree(answer.topology).ranks());
}

double sent_in_phase(const Cost& cost, Phase phase) {
  const placement::SentBytes& sent = cost.sent_mean;
  return phase == Phase::ids         ? sent.ids
         : phase == Phase::rows      ? sent.rows
         : phase == Phase::gradients ? sent.gradients
         : phase == Phase::allreduce ? sent.allreduce
         : phase == Phase::samples   ? sent.samples
                                     : 0;
}

}  // namespace sparrow
