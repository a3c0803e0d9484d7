#include "train/ledger.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/text_file.hpp"
#include "comm/collectives.hpp"
#include "kernels/backend.hpp"

namespace sparrow {

Ledger::Booking::Booking(Ledger& ledger, Phase phase, Lane lane) : ledger_(ledger), phase_(phase), lane_(lane) {
  if (ledger_.profiled) ledger_.profiled->begin_range(phase_name(phase));
}

Ledger::Booking::~Booking() {
  if (ledger_.profiled) ledger_.profiled->end_range();
  const double seconds = timer_.seconds();
  ledger_.seconds[static_cast<size_t>(lane_)][static_cast<size_t>(phase_)] += seconds;
  if (ledger_.tracing && ledger_.trace.size() < kMostTraceEvents)
    ledger_.trace.push_back({phase_, lane_, ledger_.clock.seconds() - seconds, seconds});
}

const char* lane_name(Lane lane) {
  return lane == Lane::compute ? "compute" : "exchange";
}

PathSeconds& PathSeconds::operator+=(const PathSeconds& other) {
  to_gradients += other.to_gradients;
  dense += other.dense;
  ahead += other.ahead;
  dirty += other.dirty;
  return *this;
}

void Ledger::add(const Traffic& sent) {
  traffic = traffic + sent;
  if (!stages.empty()) stages[0] = stages[0] + sent;
}

void Ledger::take(Ledger& other) {
  for (size_t lane = 0; lane < seconds.size(); ++lane)
    for (size_t phase = 0; phase < seconds[lane].size(); ++phase) seconds[lane][phase] += other.seconds[lane][phase];
  other.seconds = {};
  path += other.path;
  other.path = {};
  traffic = traffic + other.traffic;
  other.traffic = {};
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    stages[stage] = stages[stage] + other.stages[stage];
    other.stages[stage] = {};
  }
  const size_t room = kMostTraceEvents - std::min(kMostTraceEvents, trace.size());
  const auto kept = static_cast<std::ptrdiff_t>(std::min(room, other.trace.size()));
  trace.insert(trace.end(), other.trace.begin(), other.trace.begin() + kept);
  other.trace.clear();
}

void write_trace(Comm& comm, const Ledger& ledger, const std::string& path) {
  std::string mine;
  const auto row = [](int rank, Lane lane) { return kLanes * rank + static_cast<int>(lane); };
  for (const TraceEvent& event : ledger.trace)
    mine += fmt::format("{{\"name\":\"{}\",\"ph\":\"X\",\"pid\":0,\"tid\":{},\"ts\":{:.1f},\"dur\":{:.1f}}},\n",
                        phase_name(event.phase), row(comm.rank(), event.lane), event.begin * 1e6, event.seconds * 1e6);
  const std::vector<std::string> all = all_gather(comm, mine);
  if (comm.rank() != 0) return;
  std::string text = "[\n";
  for (const std::string& events : all) text += events;
  for (int rank = 0; rank < comm.size(); ++rank)
    for (const Lane lane : {Lane::compute, Lane::exchange})
      text += fmt::format(
          "{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":0,\"tid\":{},\"args\":{{\"name\":\"rank {} {}\"}}}}{}\n",
          row(rank, lane), rank, lane_name(lane), rank + 1 < comm.size() || lane == Lane::compute ? "," : "");
  write_text_file(path, text + "]\n");
}

OverRanks over_ranks(Comm& comm, double value) {
  const std::vector<double> values = all_gather(comm, value);
  return {std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size()),
          *std::max_element(values.begin(), values.end())};
}

}  // namespace sparrow
