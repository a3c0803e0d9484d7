// The ledger of a run: what each phase of the iterations cost, counted and timed at this rank.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/timer.hpp"
#include "comm/comm.hpp"

namespace sparrow {

/// Parts of an iteration that time is booked on.
enum class Part : uint8_t { data, ids, rows, compute, gradients, allreduce, update };
constexpr int kParts = 7;
const char* part_name(Part part);

struct Ledger {
  int64_t iterations = 0;
  int64_t samples = 0;        ///< of this rank
  int64_t lookups = 0;        ///< of this rank
  int64_t distinct_rows = 0;  ///< of this rank's parts of the batches
  std::array<double, kParts> seconds{};
  Traffic traffic;

  /// Adds the time from its making to its end to a part.
  class Booking {
   public:
    Booking(Ledger& ledger, Part part) : ledger_(ledger), part_(part) {}
    ~Booking() { ledger_.seconds[static_cast<size_t>(part_)] += timer_.seconds(); }
    Booking(const Booking&) = delete;
    Booking& operator=(const Booking&) = delete;

   private:
    Ledger& ledger_;
    Part part_;
    Timer timer_;
  };
};

/// Sum and maximum over ranks of a rank's number.
struct OverRanks {
  double mean = 0;
  double max = 0;
};
OverRanks over_ranks(Comm& comm, double value);

}  // namespace sparrow
