#include "train/ledger.hpp"

#include <algorithm>
#include <fstream>
#include <numeric>

#include "base/error.hpp"
#include "comm/collectives.hpp"

namespace sparrow {

const char* part_name(Part part) {
  constexpr const char* kNames[kParts] = {"data",    "ids",       "store",     "rows",
                                          "compute", "gradients", "allreduce", "update"};
  return kNames[static_cast<size_t>(part)];
}

void write_trace(Comm& comm, const Ledger& ledger, const std::string& path) {
  std::string mine;
  for (const TraceEvent& event : ledger.trace)
    mine += fmt::format("{{\"name\":\"{}\",\"ph\":\"X\",\"pid\":0,\"tid\":{},\"ts\":{:.1f},\"dur\":{:.1f}}},\n",
                        part_name(event.part), comm.rank(), event.begin * 1e6, event.seconds * 1e6);
  const std::vector<std::string> all = all_gather(comm, mine);
  if (comm.rank() != 0) return;
  std::ofstream file(path, std::ios::trunc);
  file << "[\n";
  for (const std::string& events : all) file << events;
  for (size_t rank = 0; rank < all.size(); ++rank)
    file << fmt::format(
        "{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":0,\"tid\":{0},\"args\":{{\"name\":\"rank {0}\"}}}}{1}\n", rank,
        rank + 1 < all.size() ? "," : "");
  file << "]\n" << std::flush;
  if (!file) fail_errno(path);
}

OverRanks over_ranks(Comm& comm, double value) {
  const std::vector<double> values = all_gather(comm, value);
  return {std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size()),
          *std::max_element(values.begin(), values.end())};
}

}  // namespace sparrow
