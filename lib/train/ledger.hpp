// The ledger of a run: what each phase of the iterations cost, counted and timed at this rank.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/timer.hpp"
#include "comm/comm.hpp"

namespace sparrow {

class Backend;

/// Parts of an iteration that time is booked on.
enum class Part : uint8_t { data, ids, store, rows, compute, gradients, allreduce, update };
constexpr int kParts = 8;
const char* part_name(Part part);

/// One booking, for the timeline.
struct TraceEvent {
  Part part{};
  double begin = 0, seconds = 0;  ///< since the run's clock started
};

struct Ledger {
  int64_t iterations = 0;
  int64_t samples = 0;        ///< of this rank
  int64_t lookups = 0;        ///< of this rank
  int64_t distinct_rows = 0;  ///< of this rank's parts of the batches
  std::array<double, kParts> seconds{};
  int64_t store_read_bytes = 0, store_written_bytes = 0;  ///< of this rank's slower store
  Traffic traffic;
  std::vector<Traffic> stages;  ///< the same by stage of the hierarchy
  bool tracing = false;
  Backend* profiled = nullptr;    ///< told of every booking, so that a profiler shows it; null: nobody
  Timer clock;                    ///< of the timeline
  std::vector<TraceEvent> trace;  ///< the first kMostTraceEvents bookings, if tracing
  static constexpr size_t kMostTraceEvents = 200000;

  /// Adds the time from its making to its end to a part.
  class Booking {
   public:
    Booking(Ledger& ledger, Part part);
    ~Booking();
    Booking(const Booking&) = delete;
    Booking& operator=(const Booking&) = delete;

   private:
    Ledger& ledger_;
    Part part_;
    Timer timer_;
  };
};

/// Collective: the bookings of all ranks as a Chrome/Perfetto timeline (JSON, one row per rank), written by rank 0.
void write_trace(Comm& comm, const Ledger& ledger, const std::string& path);

/// Mean and maximum over ranks of a rank's number.
struct OverRanks {
  double mean = 0;
  double max = 0;
};
OverRanks over_ranks(Comm& comm, double value);

}  // namespace sparrow
