#include "base/locality.hpp"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/error.hpp"

namespace sparrow {

namespace fs = std::filesystem;

namespace {

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

int number(const std::string& text, size_t begin, size_t end) {
  int value = -1;
  const auto result = std::from_chars(text.data() + begin, text.data() + end, value);
  if (result.ec != std::errc() || result.ptr != text.data() + end || value < 0)
    fail("'{}' is no list of processors such as 0-3,8", text);
  return value;
}

/// How many folders, from the root of /sys on, two devices have in common: bridges and switches on the way to both.
std::ptrdiff_t shared_way(const fs::path& a, const fs::path& b) {
  return std::distance(a.begin(), std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first);
}

/// Of the adapters of a class (infiniband, net) those whose PCI devices are nearest to `device`.
std::vector<std::string> nearest(const fs::path& device, const fs::path& adapters) {
  std::vector<std::string> names;
  std::ptrdiff_t most = 0;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(adapters, none)) {
    const fs::path adapter = fs::canonical(entry.path() / "device", none);
    if (none) continue;  // a virtual one
    const std::ptrdiff_t shared = shared_way(device, adapter);
    if (shared < most) continue;
    if (shared > most) names.clear();
    most = shared;
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

std::vector<int> parse_processors(const std::string& text) {
  std::vector<int> processors;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const size_t dash = std::min(text.find('-', begin), end);
    const int first = number(text, begin, dash), last = dash == end ? first : number(text, dash + 1, end);
    if (last < first || last >= CPU_SETSIZE) fail("'{}' is no list of processors such as 0-3,8", text);
    for (int p = first; p <= last; ++p) processors.push_back(p);
    begin = end + 1;
  }
  return processors;
}

std::string format_processors(const std::vector<int>& processors) {
  std::string text;
  for (size_t i = 0; i < processors.size();) {
    size_t last = i;
    while (last + 1 < processors.size() && processors[last + 1] == processors[last] + 1) ++last;
    text += fmt::format("{}{}", text.empty() ? "" : ",", processors[i]);
    if (last > i) text += fmt::format("-{}", processors[last]);
    i = last + 1;
  }
  return text;
}

Locality locality_of(const std::string& pci, const std::string& sys) {
  Locality locality;
  std::error_code none;
  const fs::path device = fs::canonical(fs::path(sys) / "bus/pci/devices" / pci, none);
  if (none) return locality;
  const std::string node = first_line(device / "numa_node");
  if (!node.empty() && node[0] != '-') locality.numa_node = number(node, 0, node.size());
  locality.processors = parse_processors(first_line(device / "local_cpulist"));
  locality.nearest_adapters = nearest(device, fs::path(sys) / "class/infiniband");
  if (locality.nearest_adapters.empty()) locality.nearest_adapters = nearest(device, fs::path(sys) / "class/net");
  return locality;
}

std::vector<int> bind_process(const std::vector<int>& processors) {
  cpu_set_t allowed, wanted;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) fail_errno("sched_getaffinity");
  CPU_ZERO(&wanted);
  std::vector<int> both;
  for (const int p : processors) {
    if (!CPU_ISSET(p, &allowed)) continue;
    CPU_SET(p, &wanted);
    both.push_back(p);
  }
  if (both.empty()) return both;
  for (const auto& thread : fs::directory_iterator("/proc/self/task")) {
    const auto id = static_cast<pid_t>(std::stol(thread.path().filename().string()));
    if (sched_setaffinity(id, sizeof wanted, &wanted) != 0 && errno != ESRCH)  // it may have ended meanwhile
      fail_errno("sched_setaffinity");
  }
  return both;
}

}  // namespace sparrow
