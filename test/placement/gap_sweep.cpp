// How far plans are from their bounds: random draws from topology files (and random trees) x skew x memory x bags x
// pipeline x transport x wire. A plan is wrong when its gap is above 1 % (5 % with pooling) or a named strategy is
// faster under the same model. Random trees with pooling, which may have several unlike kinds of ranks, bags of 100 and
// hardly any memory to spare, have no such limit: about one in 60 is above 5 %, the worst seen 16 %; it is printed as
// loose. usage: gap_sweep FOLDER COUNT SEED BAGS SHOW [FIRST [both]]   bags of 1, or also longer ones,
// equal and mixed (BAGS: the longest); prints the SHOW worst; exit code 1 when one is wrong. Case i of a seed is the
// same whatever COUNT is; FIRST is the first of them (0). both: plans without branching too, and prints what branching
// buys (search.hpp).
#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iostream>

#include "base/error.hpp"
#include "config/topology_file.hpp"
#include "support.hpp"

using namespace sparrow;
using namespace sparrow::placement;

namespace {

struct Case {
  long number = 0;
  std::string text;  // what was drawn
  double gap = 0, ahead = 0, seconds = 0, planning = 0;
  double unbranched_seconds = 0, unbranched_gap = 0, unbranched_planning = 0;
  bool pooling = false, random_tree = false, overlapped = false;
  bool loose() const { return gap > (pooling ? 0.05 : 0.01); }
  bool wrong() const { return (loose() && !(random_tree && pooling)) || ahead > 1e-9; }
};

template <class T>
const T& draw(std::mt19937_64& random, const std::vector<T>& from) {
  return from[random() % from.size()];
}

Workload draw_workload(std::mt19937_64& random, double most_lookups, Case& result) {
  const double exponent = draw(random, std::vector<double>{0, 0.4, 0.8, 1.05, 1.2, 1.4});
  constexpr double kMixed = 0;  // a length for each table
  const double bag = std::min(most_lookups, draw(random, std::vector<double>{1, 1, 2, 8, 30, 100, kMixed}));
  const int64_t dim = draw(random, std::vector<int64_t>{16, 128});
  Workload w;
  w.global_batch = draw(random, std::vector<int64_t>{4096, 65536});
  w.overlapped = random() % 2 == 0;
  result.overlapped = w.overlapped;
  w.dense_bytes = draw(random, std::vector<double>{0, 1e7});
  w.flops_per_sample = draw(random, std::vector<double>{1e5, 1e7});
  const bool bf16 = random() % 2 == 0;
  for (int64_t rows : {40000000, 3000000, 400000, 50000, 50000, 2000, 100, 3}) {
    Law law;
    law.s1 = exponent;
    double lookups = rows >= 50000 ? bag : 1;
    if (bag == kMixed) lookups = std::min(most_lookups, draw(random, std::vector<double>{1, 2, 5, 10, 20, 50, 100}));
    Table t = table(fmt::format("t{}", w.tables.size()), from_law(law, rows), lookups, 4 * dim);
    if (bf16) t.wire_bytes /= 2;
    w.tables.push_back(std::move(t));
  }
  result.pooling = bag != 1;
  result.text += fmt::format(" zipf:{} bags {} dim {} batch {} {} {} dense {:g} flops {:g}", exponent,
                             bag == kMixed ? "mixed" : fmt::format("{}", bag), dim, w.global_batch,
                             w.overlapped ? "overlapped" : "sequential", bf16 ? "bf16" : "fp32", w.dense_bytes,
                             w.flops_per_sample);
  return w;
}

/// Gives ranks that hold device memory from "barely fits" to "all fits everywhere"; also less than one copy of all
/// where slower stores take the rest.
void draw_memory(std::mt19937_64& random, double needed, Topology& topology, Case& result) {
  const Tree tree(topology);
  double holding = 0, slow = 0;
  for (Site site : tree.sites_in(0)) {
    const double instances = static_cast<double>(tree.instances(site.domain));
    if (tree.is_device(site))
      holding += instances;
    else
      slow += instances * static_cast<double>(tree.store(site).capacity_bytes);
  }
  std::vector<double> fractions = {1.03 / holding, 1.5 / holding, std::sqrt(1 / holding), std::max(0.5, 1.2 / holding),
                                   1.1};
  if (slow > needed) fractions.push_back(0.3 / holding);
  const double fraction = std::max(draw(random, fractions), slow > needed ? 0.3 / holding : 1.03 / holding);
  for (int r : tree.at_level(tree.depth()))
    topology.domains[r].stores[0].capacity_bytes = static_cast<int64_t>(fraction * needed) + 1;
  result.text += fmt::format(" memory {:.3g} copies", fraction * holding);
}

/// Plans, and adds the seconds that took to `planning`.
Solution timed(const Topology& topology, const Workload& workload, const SolveOptions& options, double& planning) {
  const std::clock_t begin = std::clock();  // of this processor: others may be busy
  Solution solution = solve(topology, workload, options);
  planning += static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  return solution;
}

/// What the search leaves open; that slots cannot be dealt evenly comes on top.
double search_gap(const Solution& solution) {
  return std::min(solution.even_seconds, solution.cost.seconds) / solution.bound - 1;
}

Case draw_case(std::mt19937_64& random, const std::vector<Topology>& files, double most_lookups, bool both) {
  Case result;
  const size_t which = random() % (files.size() + 3);
  const uint64_t tree_seed = random();
  result.text = which < files.size() ? files[which].name : fmt::format("random tree {}", tree_seed);
  const Workload w = draw_workload(random, most_lookups, result);
  Topology topology;
  if (which < files.size()) {
    topology = files[which];
    draw_memory(random, bytes_needed(w), topology, result);
  } else {
    result.random_tree = true;
    std::mt19937_64 own(tree_seed);
    topology = random_topology(own, bytes_needed(w));
  }
  SolveOptions options;
  options.combine = random() % 4 != 0;
  if (!options.combine) result.text += " no-combine";
  const Solution solution = timed(topology, w, options, result.planning);
  if (both) {
    options.branching = false;
    const Solution unbranched = timed(topology, w, options, result.unbranched_planning);
    result.unbranched_seconds = unbranched.cost.seconds;
    result.unbranched_gap = search_gap(unbranched);
  }
  result.gap = search_gap(solution);
  result.seconds = solution.cost.seconds;
  for (const StrategyResult& other : solution.strategies)
    if (other.cost.infeasible.empty() && other.cost.seconds > 0)
      result.ahead = std::max(result.ahead, solution.cost.seconds / other.cost.seconds - 1);
  return result;
}

void print(const Case& c) {
  fmt::print("{} {} gap {:.3f} %  behind a strategy {:.2g}  T {:.4g} s  planned in {:.2f} s  {}\n",
             c.wrong()   ? "WRONG"
             : c.loose() ? "loose"
                         : "ok   ",
             c.number, 100 * c.gap, c.ahead, c.seconds, c.planning, c.text);
  std::fflush(stdout);
}

/// What branching buys on the cases with bags, one line each kind of machine and pipeline.
void print_branching(const std::vector<Case>& cases) {
  for (bool random_tree : {false, true})
    for (bool overlapped : {false, true}) {
      long count = 0, slower = 0, loose = 0, loose_unbranched = 0;
      double sum = 0, most = 0, planning = 0, unbranched_planning = 0;
      for (const Case& c : cases) {
        if (!c.pooling || c.seconds <= 0 || c.random_tree != random_tree || c.overlapped != overlapped) continue;
        const double longer = c.unbranched_seconds / c.seconds - 1;
        ++count;
        sum += longer;
        most = std::max(most, longer);
        slower += longer > 0.01;
        loose += c.loose();
        loose_unbranched += c.unbranched_gap > 0.05;
        planning += c.planning;
        unbranched_planning += c.unbranched_planning;
      }
      const double n = std::max(1.0, static_cast<double>(count));
      fmt::print(
          "{}, {}: {} with bags; T longer without branching: mean {:.2f} %, {} above 1 %, most {:.1f} %; gap "
          "above 5 %: {} with, {} without; planned in {:.2f} s with, {:.2f} s without\n",
          random_tree ? "random trees" : "files", overlapped ? "overlapped" : "sequential", count, 100 * sum / n,
          slower, 100 * most, loose, loose_unbranched, planning / n, unbranched_planning / n);
    }
}

int sweep(const std::string& folder, long first, long count, uint64_t seed, double most_lookups, size_t show,
          bool both) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  std::vector<Topology> files;
  for (const std::string& path : paths) files.push_back(load_topology(path));
  std::vector<Case> cases;
  long wrong = 0, loose = 0, infeasible = 0;
  for (long i = first; i < first + count; ++i) {
    std::mt19937_64 random(seed << 32 | static_cast<uint64_t>(i));
    try {
      cases.push_back(draw_case(random, files, most_lookups, both));
      cases.back().number = i;
    } catch (const Error& error) {  // a random tree whose every slot is too small for the rounding to whole rows
      ++infeasible;
      fmt::print("no plan: {}\n", error.what());
      continue;
    }
    if (cases.back().loose()) ++loose;
    if (cases.back().wrong()) ++wrong, print(cases.back());
  }
  std::stable_sort(cases.begin(), cases.end(), [](const Case& a, const Case& b) { return a.gap > b.gap; });
  for (size_t i = 0; i < std::min(show, cases.size()); ++i) print(cases[i]);
  if (both) print_branching(cases);
  fmt::print("{} plans, {} wrong, {} loose, {} without a plan\n", cases.size(), wrong, loose, infeasible);
  return wrong > 0 || cases.empty() ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6 || argc > 8) {
    std::cerr << "usage: gap_sweep FOLDER COUNT SEED BAGS SHOW [FIRST [both]]\n";
    return 2;
  }
  try {
    return sweep(argv[1], argc >= 7 ? std::strtol(argv[6], nullptr, 10) : 0, std::strtol(argv[2], nullptr, 10),
                 std::strtoull(argv[3], nullptr, 10), std::strtod(argv[4], nullptr),
                 std::strtoull(argv[5], nullptr, 10), argc == 8);
  } catch (const Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
