// What `sparrow plan` reads, mutated: topology files, plan files, histograms. Every input must be taken or refused with
// an Error, soon and in little memory; whatever is taken must plan, too. usage: plan_fuzz FOLDER ROUNDS SEED   FOLDER:
// of valid topologies.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>

#include "access/distributions.hpp"
#include "base/error.hpp"
#include "config/plan_file.hpp"
#include "config/topology_file.hpp"
#include "data/npy.hpp"
#include "placement/placement.hpp"

using namespace sparrow;
using namespace sparrow::placement;

namespace {

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// One to four edits: bytes flipped, pieces removed, repeated or moved from elsewhere, numbers and words exchanged for
/// hostile ones.
std::string mutated(std::string text, std::mt19937_64& random) {
  static const std::vector<std::string> kHostile = {"-1",
                                                    "0",
                                                    "1e308",
                                                    "-1e308",
                                                    "nan",
                                                    ".inf",
                                                    "9223372036854775807",
                                                    "9223372036854775808",
                                                    "1e19",
                                                    "null",
                                                    "[]",
                                                    "{}",
                                                    "[[[[",
                                                    "\"",
                                                    "4294967296",
                                                    "1e-320",
                                                    "\n",
                                                    ": ",
                                                    "-",
                                                    "999999999",
                                                    "&a",
                                                    "*a",
                                                    "!!binary",
                                                    std::string(1, '\0')};
  for (int edits = 1 + static_cast<int>(random() % 4); edits > 0 && !text.empty(); --edits) {
    const size_t at = random() % text.size(), n = std::min(text.size() - at, 1 + random() % 12);
    switch (random() % 6) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, n);
        break;
      case 2:
        text.insert(at, text.substr(at, n));
        break;
      case 3:
        text.insert(at, text.substr(random() % text.size(), 1 + random() % 40));
        break;
      case 4: {  // the number that begins at or behind here
        const size_t digit = text.find_first_of("0123456789", at);
        if (digit == std::string::npos) break;
        const size_t end = std::min(text.find_first_not_of("0123456789.eE+-", digit), text.size());
        text.replace(digit, end - digit, kHostile[random() % kHostile.size()]);
        break;
      }
      default:
        text.replace(at, n, kHostile[random() % kHostile.size()]);
    }
  }
  return text;
}

Workload small_workload(const Topology& topology) {
  Workload w;
  w.global_batch = 64;
  const Tree tree(topology);
  for (int64_t rows : {10, 3000}) {
    Table t;
    t.name = fmt::format("t{}", rows);
    t.access = from_law(parse_law("zipf:1.05"), rows);
    t.access.p.resize(tree.access_groups(), t.access.p[0]);
    w.tables.push_back(std::move(t));
  }
  return w;
}

class Fuzz {
 public:
  Fuzz(const std::string& folder, uint64_t seed) : random_(seed) {
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    for (const auto& path : paths) topologies_.push_back(read_text(path));
    plan_topology_ = parse_topology(topologies_[0], "valid");
    const Workload w = small_workload(plan_topology_);
    plan_ = write_plan(solve(plan_topology_, w).plan, plan_topology_);
    std::vector<int64_t> bins = {90, 1, 7, 30, 0, 400};
    folder_ = std::filesystem::temp_directory_path() / fmt::format("plan_fuzz_{}_{}", getpid(), seed);
    std::filesystem::create_directories(folder_);
    histogram_ = std::string("\x93NUMPY\x01\x00", 8);
    std::string header = "{'descr': '<i8', 'fortran_order': False, 'shape': (3, 2), }";
    header.append(128 - 10 - header.size() - 1, ' ').push_back('\n');
    histogram_ += std::string(1, static_cast<char>(header.size())) + std::string(1, '\0') + header;
    histogram_.append(reinterpret_cast<const char*>(bins.data()), bins.size() * 8);
  }
  ~Fuzz() { std::filesystem::remove_all(folder_); }

  void one() {
    const auto begin = std::chrono::steady_clock::now();
    switch (random_() % 3) {
      case 0:
        attempt(mutated(topologies_[random_() % topologies_.size()], random_), &Fuzz::topology);
        break;
      case 1:
        attempt(mutated(plan_, random_), &Fuzz::plan);
        break;
      default:
        attempt(mutated(histogram_, random_), &Fuzz::histogram);
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (seconds > longest_) {
      longest_ = seconds;
      slowest_ = input_;
    }
  }

  int report(double most_seconds, long most_megabytes) const {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    fmt::print("{} taken, {} refused; longest {:.2f} s, at most {} MB\n", taken_, refused_, longest_,
               usage.ru_maxrss / 1024);
    if (longest_ > most_seconds) fmt::print("too slow:\n{}\n", slowest_);
    // An input that is never taken, or never refused, would test nothing.
    return longest_ > most_seconds || usage.ru_maxrss / 1024 > most_megabytes || taken_ == 0 || refused_ == 0 ? 1 : 0;
  }

 private:
  void attempt(std::string input, void (Fuzz::*take)()) {
    input_ = std::move(input);
    try {
      (this->*take)();
      ++taken_;
    } catch (const Error& error) {
      ++refused_;
      if (std::string(error.what()).empty()) throw std::logic_error("an Error without words");
    }
  }

  void topology() {
    const Topology topology = parse_topology(input_, "fuzz.yaml");
    solve(topology, small_workload(topology));
  }
  void plan() {
    const Plan read = parse_plan(input_, "fuzz.json", plan_topology_);
    check(read, plan_topology_, small_workload(plan_topology_));
  }
  void histogram() {
    std::ofstream(counts_file(folder_, "histogram", 0), std::ios::binary | std::ios::trunc) << input_;
    const NpyFile file(counts_file(folder_, "histogram", 0));
    from_histogram(histogram_of(file.values<int64_t>()));
    const Histogram histogram = load_histogram(folder_, 0).value();
    validate(from_histogram(histogram), "fuzz");
    from_sample(histogram, 1000);
  }

  std::mt19937_64 random_;
  std::vector<std::string> topologies_;
  Topology plan_topology_;
  std::string plan_, histogram_, input_, slowest_;
  std::string folder_;
  long taken_ = 0, refused_ = 0;
  double longest_ = 0;

 public:
  const std::string& input() const { return input_; }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: plan_fuzz FOLDER ROUNDS SEED\n";
    return 2;
  }
  Fuzz fuzz(argv[1], std::strtoull(argv[3], nullptr, 10));
  try {
    for (long i = std::strtol(argv[2], nullptr, 10); i > 0; --i) fuzz.one();
  } catch (const std::exception& error) {  // anything but an Error
    std::cerr << error.what() << "\nfor\n" << fuzz.input() << '\n';
    return 1;
  }
  return fuzz.report(60, 1000);
}
