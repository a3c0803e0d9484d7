#include "train/ledger.hpp"

#include <algorithm>
#include <fstream>
#include <numeric>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "kernels/backend.hpp"

namespace sparrow {

const char* part_name(Part part) {
  constexpr const char* kNames[kParts] = {"data",    "ids",       "store",     "rows",
                                          "compute", "gradients", "allreduce", "update"};
  return kNames[static_cast<size_t>(part)];
}

Ledger::Booking::Booking(Ledger& ledger, Part part) : ledger_(ledger), part_(part) {
  if (ledger_.profiled) ledger_.profiled->begin_range(part_name(part));
}

Ledger::Booking::~Booking() {
  if (ledger_.profiled) ledger_.profiled->end_range();
  const double seconds = timer_.seconds();
  ledger_.seconds[static_cast<size_t>(part_)] += seconds;
  if (ledger_.tracing && ledger_.trace.size() < kMostTraceEvents)
    ledger_.trace.push_back({part_, ledger_.clock.seconds() - seconds, seconds});
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
