// The modelled time of every kernel of kernels/cuda on an H100, as a table for kernels/README.md:
//   kernel_table            prints it
//   kernel_table --write FILE   puts it between the two marks in FILE;   --check FILE   exits 1 where FILE has another
// Modelled means: the larger of bytes over memory bandwidth and operations over arithmetic rate, at the rates of
// NVIDIA's data sheet. No kernel reaches it; what a kernel takes on a GPU, scripts/gpu_check.sh tells.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include "base/error.hpp"
#include "test/bench/kernel_cases.hpp"
#include "test/bench/roofline.hpp"

namespace {

using namespace sparrow;
using namespace sparrow::bench;

constexpr const char* kBegin = "<!-- kernel_table begin -->\n";
constexpr const char* kEnd = "<!-- kernel_table end -->\n";

std::string table() {
  std::string text = "| operation | shape | MB | Gflop | us, modelled | bound by |\n|---|---|---|---|---|---|\n";
  for (const KernelCase& kernel : kernel_cases({})) {
    const Roofline roofline = roofline_of(kernel.work, kH100);
    text += fmt::format("| {} | {} | {:.2f} | {:.3f} | {:.2f} | {} |\n", kernel.name, kernel.shape,
                        kernel.work.bytes / 1e6, kernel.work.flops / 1e9, roofline.seconds * 1e6, roofline.bound_by);
  }
  return text;
}

std::string read(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail_errno(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The file's text with the table between the marks.
std::string with_table(const std::string& path) {
  const std::string text = read(path);
  const size_t begin = text.find(kBegin), end = text.find(kEnd);
  if (begin == std::string::npos || end == std::string::npos || end < begin)
    fail("{} has no marks of kernel_table", path);
  return text.substr(0, begin) + kBegin + table() + text.substr(end);
}

int run(int argc, char** argv) {
  const std::string action = argc > 1 ? argv[1] : "";
  if (argc == 1) {
    fmt::print("{}", table());
    return 0;
  }
  if (argc != 3 || (action != "--write" && action != "--check")) fail("kernel_table [--write FILE | --check FILE]");
  const std::string wanted = with_table(argv[2]);
  if (action == "--check") {
    if (wanted == read(argv[2])) return 0;
    fail("{} has an old table: kernel_table --write {}", argv[2], argv[2]);
  }
  std::ofstream file(argv[2], std::ios::trunc);
  file << wanted << std::flush;
  if (!file) fail_errno(argv[2]);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "kernel_table: {}\n", error.what());
    return 1;
  }
}
