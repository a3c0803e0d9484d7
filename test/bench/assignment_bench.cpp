// The assigner on real or generated rows: how many times fewer rows move, beside Herald's way; time per sample; parts of
// a global batch that are assigned alone; a hypergraph partitioner's answer where one is installed.
//
//   assignment_bench --mode factors --rows kaggle_sample.tsv.gz --shapes 4x2048,8x1024 --passes 1,2,4 --delays 1,4
//
// Without --rows: the real sample where ../shared has it (SPARROW_SHARED names another folder), else generated rows.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cxxopts.hpp>
#include <filesystem>
#include <numeric>
#include <sstream>

#include "base/error.hpp"
#include "base/timer.hpp"
#include "test/bench/assignment_trace.hpp"

using namespace sparrow;
using namespace sparrow::bench;

namespace {

std::vector<std::string> words(const std::string& text, char separator) {
  std::vector<std::string> list;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, separator);) list.push_back(word);
  return list;
}

std::vector<int> numbers(const std::string& text) {
  std::vector<int> list;
  for (const std::string& word : words(text, ',')) list.push_back(std::stoi(word));
  return list;
}

std::vector<Shape> shapes(const std::string& text) {
  std::vector<Shape> list;
  for (const std::string& word : words(text, ',')) {
    const auto sides = words(word, 'x');
    SPARROW_CHECK(sides.size() == 2, "{}: RANKSxSAMPLES", word);
    list.push_back({std::stoi(sides[0]), std::stoi(sides[1])});
  }
  return list;
}

std::string name(const Shape& shape) {
  return fmt::format("{} x {}", shape.ranks, shape.per_rank);
}

void print_factors(const Trace& trace, const std::vector<Shape>& of, const std::vector<int>& passes,
                   const std::vector<int>& delays) {
  fmt::print(
      "\ntimes fewer rows moved than table-wise without deduplication\n{:>12} {:>7} {:>6} {:>22} {:>8} {:>9} {:>9} "
      "{:>10}\n",
      "", "passes", "delay", "after the first third", "in all", "busiest", "distinct", "us/sample");
  for (const Shape& shape : of)
    for (const int n : passes)
      for (const int delay : delays) {
        const TraceFigures f = run_trace(trace, {shape, AssignerTree::flat(shape.ranks), {n, 1}, delay});
        fmt::print("{:>12} {:>7} {:>6} {:>22.2f} {:>8.2f} {:>9.3f} {:>9.3f} {:>10.3f}\n", name(shape), n, delay, f.late,
                   f.whole, f.busiest, f.distinct, f.us);
      }
}

void print_herald(const Trace& trace, const std::vector<Shape>& of) {
  fmt::print(
      "\nHerald's way on the same rows, by the part of all rows that a worker's cache has room for\n{:>12} {:>7} "
      "{:>22} {:>8}\n",
      "", "cache", "after the first third", "in all");
  for (const Shape& shape : of) {
    if (shape.ranks > 64) continue;
    for (const double part : {0.05, 0.1, 0.25, 1.0}) {
      const TraceFigures f = run_herald(trace, shape, static_cast<int64_t>(part * trace.rows) + 1);
      fmt::print("{:>12} {:>7} {:>22.2f} {:>8.2f}\n", name(shape), part, f.late, f.whole);
    }
  }
}

/// Seconds of reaching an array of 8 bytes per row once for every lookup: the least that any assigner does.
double one_look(const AssignerBatch& batch) {
  std::vector<uint64_t> seen(batch.keys.size(), 1);
  std::vector<double> seconds;
  for (int i = 0; i < 21; ++i) {
    const Timer timer;
    uint64_t sum = 0;
    for (int64_t s = 0; s < batch.samples(); ++s)
      for (int64_t k = batch.first[s]; k < batch.first[s + 1]; ++k)
        sum += seen[batch.rows[k]] += static_cast<uint64_t>(s);
    seconds.push_back(timer.seconds());
    if (sum == 0) fmt::print("\n");
  }
  std::nth_element(seconds.begin(), seconds.begin() + 10, seconds.end());
  return seconds[10];
}

void print_speed(const Trace& trace, const std::vector<Shape>& of, const std::vector<int>& passes) {
  fmt::print(
      "\ntime of assigning, one core, without finding distinct rows: medians over batches\n{:>12} {:>7} {:>10} "
      "{:>26}\n",
      "", "passes", "us/sample", "looks at all lookups");
  for (const Shape& shape : of)
    for (const int n : passes) {
      const TraceFigures f = run_trace(trace, {shape, AssignerTree::flat(shape.ranks), {n, 1}, 1});
      TraceBatch batch(trace);
      batch.set(0, std::vector<int64_t>(shape.ranks, shape.per_rank), std::vector<int16_t>(trace.rows, -1));
      const double look = one_look(batch.batch()) / static_cast<double>(shape.ranks * shape.per_rank) * 1e6;
      fmt::print("{:>12} {:>7} {:>10.3f} {:>15.1f} of {:.3f} us\n", name(shape), n, f.us, f.us / look, look);
    }
}

void print_groups(const Trace& trace, const std::vector<Shape>& of, const std::vector<int>& parts, int passes) {
  fmt::print(
      "\na global batch in parts, each assigned alone: rows moved more, and the time of one part\n{:>12} {:>7} {:>22} "
      "{:>12} {:>14} {:>14}\n",
      "", "parts", "after the first third", "moves more", "ms of a part", "batch in turn");
  for (const Shape& shape : of) {
    double whole = 0;
    for (const int n : parts) {
      if (shape.per_rank % n != 0) continue;
      const TraceFigures f = run_trace(trace, {shape, AssignerTree::flat(shape.ranks), {passes, 1}, 1, n});
      if (n == parts.front()) whole = f.late;
      const double ms = f.us * static_cast<double>(shape.ranks * shape.per_rank) / n * 1e-3;
      fmt::print("{:>12} {:>7} {:>22.2f} {:>11.1f}% {:>14.2f} {:>11.3f} ms\n", name(shape), n, f.late,
                 (whole / f.late - 1) * 100, ms, ms * n / shape.ranks);
    }
  }
}

/// What python prints for a batch; empty: it did not run.
std::string ask_partitioner(const AssignerBatch& batch, const std::string& command, int ranks) {
  const auto path = std::filesystem::temp_directory_path() / "sparrow_assignment_bench.hypergraph";
  std::vector<std::string> lines(batch.keys.size());
  for (int64_t s = 0; s < batch.samples(); ++s)
    for (int64_t i = batch.first[s]; i < batch.first[s + 1]; ++i) lines[batch.rows[i]] += fmt::format("{} ", s);
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) fail_errno(path.string());
  for (size_t d = 0; d < lines.size(); ++d)
    fmt::print(file, "{}{}\n", lines[d], batch.holder[d] >= 0 ? fmt::format("h{}", batch.holder[d]) : "");
  std::fclose(file);
  std::FILE* answer = ::popen(fmt::format("{} {} {} 0.01", command, path.string(), ranks).c_str(), "r");
  std::string text(200, '\0');
  if (answer == nullptr || std::fgets(text.data(), static_cast<int>(text.size()), answer) == nullptr) text = "";
  if (answer != nullptr) ::pclose(answer);
  std::filesystem::remove(path);
  return text.substr(0, text.find_first_of("\n\0"));
}

/// A batch in the middle of a run, its holders by first use so far.
void print_partitioner(const Trace& trace, const Shape& shape, const std::string& python) {
  fmt::print("\none batch of {}, beside a hypergraph partitioner with loads within 1 %\n", name(shape));
  const std::vector<int64_t> quota(shape.ranks, shape.per_rank);
  const int64_t global = shape.ranks * shape.per_rank, batches = std::min<int64_t>(trace.samples() / global, 40);
  const AssignerTree tree = AssignerTree::flat(shape.ranks);
  Assigner assigner(tree, {2, 1});
  std::vector<int16_t> holder(trace.rows, AssignerBatch::kNobody), assigned(global), settled;
  TraceBatch batch(trace);
  for (int64_t b = 0; b < batches; ++b) {
    batch.set(b * global, quota, holder);
    if (b + 1 == batches) break;
    assigner.assign(batch.batch(), assigned);
    settled.assign(batch.batch().holder.begin(), batch.batch().holder.end());
    assigner.settle(batch.batch(), assigned, settled);
    for (size_t d = 0; d < settled.size(); ++d) holder[batch.key(d)] = settled[d];
  }
  const auto factor = [&](double moves) { return naive_moves(global, trace.tables, shape.ranks) / (2 * moves); };
  for (const int passes : {0, 1, 2, 4, 8, 16}) {
    Assigner other(tree, {passes, 1});
    other.assign(batch.batch(), assigned);
    settled.assign(batch.batch().holder.begin(), batch.batch().holder.end());
    other.settle(batch.batch(), assigned, settled);
    const auto moves = static_cast<double>(count_moves(tree, batch.batch(), assigned, settled).into[0]);
    fmt::print("{:>20} {:>8} rows  factor {:.2f}\n", fmt::format("{} passes", passes), moves, factor(moves));
  }
  const std::string answer = ask_partitioner(batch.batch(), python, shape.ranks);
  double moves = 0, seconds = 0;
  if (std::sscanf(answer.c_str(), "%lf %lf", &moves, &seconds) == 2)
    fmt::print("{:>20} {:>8} rows  factor {:.2f}  {:.0f} us/sample\n", "partitioner", moves, factor(moves),
               seconds / static_cast<double>(global) * 1e6);
  else
    fmt::print("{:>20} {}\n", "partitioner", answer.empty() ? "skipped: no python" : answer);
}

Trace open_trace(const cxxopts::ParseResult& arguments) {
  const int64_t generated = arguments["generate"].as<int64_t>(), most = arguments["samples"].as<int64_t>();
  std::vector<std::string> files = arguments["rows"].as<std::vector<std::string>>();
  if (files.front().empty() && generated == 0) {
    const char* shared = std::getenv("SPARROW_SHARED");
    files = {fmt::format("{}/data/kaggle_sample.tsv.gz", shared != nullptr ? shared : "../shared")};
    if (!std::filesystem::exists(files.front())) files = {""};
  }
  if (!files.front().empty()) return read_trace(files, most);
  return generate_trace(generated > 0 ? generated : 137139, 1);
}

void run(int argc, char** argv) {
  cxxopts::Options options("assignment_bench", "How many rows move, and how long assigning takes");
  auto add = options.add_options();
  add("mode", "all, factors, herald, speed, groups or partitioner",
      cxxopts::value<std::string>()->default_value("all"));
  add("rows", "Criteo files", cxxopts::value<std::vector<std::string>>()->default_value(""));
  add("generate", "so many samples of the shape of Criteo Kaggle instead",
      cxxopts::value<int64_t>()->default_value("0"));
  add("samples", "at most", cxxopts::value<int64_t>()->default_value("1000000000"));
  add("shapes", "ranks x samples of each", cxxopts::value<std::string>()->default_value("4x2048,8x1024,16x512"));
  add("passes", "of refinement", cxxopts::value<std::string>()->default_value("1,2,4"));
  add("delays", "batches between an assignment and what it knows", cxxopts::value<std::string>()->default_value("1,4"));
  add("parts", "of a global batch", cxxopts::value<std::string>()->default_value("1,2,4,8"));
  add("group-shapes", "ranks x samples of each", cxxopts::value<std::string>()->default_value("64x128,256x32"));
  add("partitioned", "ranks x samples of each", cxxopts::value<std::string>()->default_value("8x256"));
  add("partitioner", "command", cxxopts::value<std::string>()->default_value("python3 " SPARROW_PARTITIONER));
  add("help", "");
  const auto arguments = options.parse(argc, argv);
  if (arguments.count("help") != 0) return fmt::print("{}", options.help());
  const Trace trace = open_trace(arguments);
  fmt::print("{} samples, {} rows\n", trace.samples(), trace.rows);
  const std::string mode = arguments["mode"].as<std::string>();
  const auto of = shapes(arguments["shapes"].as<std::string>());
  const auto passes = numbers(arguments["passes"].as<std::string>());
  if (mode == "all" || mode == "factors")
    print_factors(trace, of, passes, numbers(arguments["delays"].as<std::string>()));
  if (mode == "all" || mode == "herald") print_herald(trace, of);
  if (mode == "all" || mode == "speed") print_speed(trace, of, passes);
  if (mode == "all" || mode == "groups")
    print_groups(trace, shapes(arguments["group-shapes"].as<std::string>()),
                 numbers(arguments["parts"].as<std::string>()), passes.back());
  if (mode == "all" || mode == "partitioner")
    print_partitioner(trace, shapes(arguments["partitioned"].as<std::string>()).front(),
                      arguments["partitioner"].as<std::string>());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
