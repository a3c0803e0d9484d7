// The cases of comm_cases.hpp over MPI; run under mpirun with several numbers of ranks. Every rank runs every line.
#include <catch2/catch.hpp>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "comm/mpi_comm.hpp"
#include "comm_cases.hpp"

using namespace sparrow;
using Catch::Matchers::Contains;

namespace {

constexpr double kTimeout = 30;

/// Runs a way to fail on a communicator of its own; all ranks meet again at the end, so that nobody's failure is due to
/// a slow start of another.
std::string failure(MpiRuntime& runtime, const std::function<std::string(Comm&)>& action) {
  const auto meeting = make_mpi_comm(runtime, kTimeout);
  const auto comm = make_mpi_comm(runtime, 2.0);
  barrier(*meeting);
  std::string error = action(*comm);
  barrier(*meeting);
  return error;
}

}  // namespace

TEST_CASE("MpiCarriesEveryCase") {
  MpiRuntime runtime;
  const auto comm = make_mpi_comm(runtime, kTimeout);
  for (const auto& [name, run] : test::comm_cases()) {
    INFO(name << " with " << comm->size() << " ranks");
    REQUIRE_NOTHROW(run(*comm));
  }
  CHECK(comm->name() == "mpi");
}

TEST_CASE("PartsAboveTheLongestMessageGoInChunks") {
  MpiRuntime runtime;
  const auto comm = make_mpi_comm(runtime, kTimeout, 1000);  // parts of the cases are up to 5,000 bytes
  for (const auto& [name, run] : test::comm_cases()) {
    INFO(name << " with " << comm->size() << " ranks");
    REQUIRE_NOTHROW(run(*comm));
  }
}

TEST_CASE("TheRuntimeKnowsRanksAndNodes") {
  const MpiRuntime runtime;
  MpiRuntime again;  // MPI is up already
  const auto comm = make_mpi_comm(again, kTimeout);
  CHECK(runtime.rank() == comm->rank());
  CHECK(runtime.size() == comm->size());
  // mpirun on one host: one node, local ranks like ranks
  CHECK(runtime.local_rank() == comm->rank());
  CHECK(runtime.local_size() == comm->size());
  CHECK(runtime.node() == 0);
  CHECK(runtime.nodes() == 1);
}

TEST_CASE("ATimeOutNamesTheMissingRankOverMpi") {
  MpiRuntime runtime;
  if (runtime.size() == 1) return;
  const auto error = failure(runtime, test::last_rank_is_silent);
  if (runtime.rank() == runtime.size() - 1) {
    CHECK(error.empty());
  } else {
    CHECK_THAT(error, Contains("nothing came from rank " + std::to_string(runtime.size() - 1)) && Contains("rows"));
  }
}

TEST_CASE("SizesThatDisagreeThrowOnTheReceiver") {
  MpiRuntime runtime;
  if (runtime.size() == 1) return;
  struct Case {
    int sent, expected;
    const char* says;
  };
  for (const auto& [sent, expected, says] :
       {Case{8, 4, "rank 0 sent more than the 4 bytes"}, Case{4, 8, "rank 0 sent 4 bytes, 8 were"},
        Case{0, 8, "nothing came from rank 0"}, Case{8, 0, "rank 0 sent more than the 0 bytes"}}) {
    INFO(sent << " sent, " << expected << " expected");
    const auto error = failure(runtime, [&](Comm& comm) { return test::sizes_disagree(comm, sent, expected); });
    if (runtime.rank() == 1) CHECK_THAT(error, Contains(says));
  }
}

TEST_CASE("ABigMessageThatNobodyTakesTimesOutAtTheSender") {
  MpiRuntime runtime;
  if (runtime.size() == 1) return;
  const auto error = failure(runtime, [](Comm& comm) { return test::sizes_disagree(comm, 10'000'000, 0); });
  if (runtime.rank() == 0) CHECK_THAT(error, Contains("not taken by rank 1"));
}

TEST_CASE("AFailedCommunicatorRefusesFurtherWork") {
  MpiRuntime runtime;
  if (runtime.size() == 1) return;
  const auto error = failure(runtime, [](Comm& comm) {
    if (test::last_rank_is_silent(comm).empty()) return std::string();
    const std::vector<int64_t> zeros(comm.size(), 0);
    try {
      comm.post(nullptr, test::OwnedAllToAll(Phase::rows, zeros, zeros).view());
    } catch (const Error& second) {
      return std::string(second.what());
    }
    return std::string("worked");
  });
  if (runtime.rank() < runtime.size() - 1) CHECK_THAT(error, Contains("failed before"));
}

TEST_CASE("ASplitThatARankMissesTimesOutOverMpi") {
  MpiRuntime runtime;
  if (runtime.size() == 1) return;
  const auto error = failure(runtime, [](Comm& comm) {
    if (comm.rank() == 0) return std::string();
    try {
      comm.split(0, 0);
    } catch (const Error& late) {
      return std::string(late.what());
    }
    return std::string("worked");
  });
  if (runtime.rank() > 0) CHECK_THAT(error, Contains("not all ranks came within 2 s"));
}
