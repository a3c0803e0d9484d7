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

/// Where it is spent: a rank computes and exchanges rows on a thread each (pipeline.hpp).
enum class Lane : uint8_t { compute, exchange };
constexpr int kLanes = 2;
const char* lane_name(Lane lane);

/// What follows one another in an overlapped iteration, timed.
struct PathSeconds {
  double to_gradients = 0;  ///< compute lane: from the rows of a batch to the gradients of its bags
  double dense = 0;  ///< then: gradients of the parameters, their sum, their update, bottom MLP of the next batch
  double ahead = 0;  ///< exchange lane, beside it: clean gradients, ids and clean rows of the next batch
  double dirty = 0;  ///< then: gradients of dirty rows, their update, dirty rows of the next batch

  PathSeconds& operator+=(const PathSeconds& other);
};

/// One booking, for the timeline.
struct TraceEvent {
  Phase phase{};
  Lane lane{};
  double begin = 0, seconds = 0;  ///< since the run's clock started
};

struct Ledger {
  int64_t iterations = 0;
  int64_t samples = 0;        ///< of this rank
  int64_t lookups = 0;        ///< of this rank
  int64_t distinct_rows = 0;  ///< of this rank's parts of the batches
  int64_t dirty_rows = 0;     ///< of these, those that the batch before updates too; all where it was not known
  std::array<std::array<double, kPhases>, kLanes> seconds{};
  PathSeconds path;
  int64_t store_read_bytes = 0, store_written_bytes = 0;  ///< of this rank's slower store
  Traffic traffic;
  std::vector<Traffic> stages;  ///< the same by stage of the hierarchy
  bool tracing = false;
  Backend* profiled = nullptr;    ///< told of every booking, so that a profiler shows it; null: nobody
  Timer clock;                    ///< of the timeline
  std::vector<TraceEvent> trace;  ///< the first kMostTraceEvents bookings, if tracing
  static constexpr size_t kMostTraceEvents = 200000;

  /// Seconds of a phase, both lanes together.
  double seconds_of(Phase phase) const {
    return seconds[0][static_cast<size_t>(phase)] + seconds[1][static_cast<size_t>(phase)];
  }
  /// Adds what was sent beside the stages, from any rank to any: that is the root's stage.
  void add(const Traffic& sent);
  /// Adds what another ledger has, with the same stages, and empties it.
  void take(Ledger& other);

  /// Adds the time from its making to its end to a phase.
  class Booking {
   public:
    Booking(Ledger& ledger, Phase phase, Lane lane = Lane::compute);
    ~Booking();
    Booking(const Booking&) = delete;
    Booking& operator=(const Booking&) = delete;

   private:
    Ledger& ledger_;
    Phase phase_;
    Lane lane_;
    Timer timer_;
  };
};

/// Adds what is sent while it lives to a ledger. of_stage(s): all traffic of stage s so far. before: one for each stage
/// of the ledger, overwritten; the caller's, so that no step allocates.
template <class OfStage>
class CountedTraffic {
 public:
  CountedTraffic(Ledger& ledger, std::vector<Traffic>& before, OfStage of_stage)
      : ledger_(ledger), before_(before), of_stage_(of_stage) {
    for (size_t stage = 0; stage < before_.size(); ++stage) before_[stage] = of_stage_(static_cast<int>(stage));
  }
  ~CountedTraffic() {
    for (size_t stage = 0; stage < before_.size(); ++stage) {
      const Traffic sent = of_stage_(static_cast<int>(stage)) - before_[stage];
      ledger_.stages[stage] = ledger_.stages[stage] + sent;
      ledger_.traffic = ledger_.traffic + sent;
    }
  }
  CountedTraffic(const CountedTraffic&) = delete;
  CountedTraffic& operator=(const CountedTraffic&) = delete;

 private:
  Ledger& ledger_;
  std::vector<Traffic>& before_;
  OfStage of_stage_;
};

/// Collective: the bookings of all ranks as a Chrome/Perfetto timeline (JSON, one row per rank and lane), written by
/// rank 0.
void write_trace(Comm& comm, const Ledger& ledger, const std::string& path);

/// Mean and maximum over ranks of a rank's number.
struct OverRanks {
  double mean = 0;
  double max = 0;
};
OverRanks over_ranks(Comm& comm, double value);

}  // namespace sparrow
