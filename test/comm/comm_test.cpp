// Ranks as threads: the cases of comm_cases.hpp with 1, 2, 3 and 7 ranks, and how things fail.
#include <atomic>
#include <catch2/catch.hpp>
#include <set>
#include <thread>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "comm/operation.hpp"
#include "comm_cases.hpp"
#include "test/support/thread_comm.hpp"

using namespace sparrow;
using Catch::Matchers::Contains;

namespace {

/// What run_ranks throws.
std::string error_of(int ranks, const std::function<void(Comm&)>& body, double timeout_seconds = 20) {
  try {
    run_ranks(ranks, body, timeout_seconds);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

/// What each rank saw when all did `action`, which may throw.
std::vector<std::string> errors_by_rank(int ranks, const std::function<std::string(Comm&)>& action,
                                        double timeout_seconds) {
  std::vector<std::string> errors(ranks);
  run_ranks(
      ranks, [&](Comm& comm) { errors[comm.rank()] = action(comm); }, timeout_seconds);
  return errors;
}

}  // namespace

TEST_CASE("ThreadsCarryEveryCase") {
  for (const auto& [name, run] : test::comm_cases()) {
    for (const int ranks : {1, 2, 3, 7}) {
      INFO(name << " with " << ranks << " ranks");
      CHECK_NOTHROW(run_ranks(ranks, [run = run](Comm& comm) { run(comm); }));
    }
  }
}

TEST_CASE("ATimeOutNamesTheMissingRank") {
  for (const int ranks : {2, 3, 7}) {
    const auto errors = errors_by_rank(ranks, test::last_rank_is_silent, 0.2);
    for (int rank = 0; rank + 1 < ranks; ++rank) {
      CHECK_THAT(errors[rank], Contains("nothing came from rank " + std::to_string(ranks - 1)) && Contains("rows"));
    }
  }
}

TEST_CASE("AMissingRankIsNamedByItsNumberAmongAll") {
  // Ranks 1 and 3 of 4 form a communicator in which they are 0 and 1.
  const auto error = error_of(
      4,
      [](Comm& comm) {
        const auto odd = comm.split(comm.rank() % 2, 0);
        if (comm.rank() == 1) throw Error(test::last_rank_is_silent(*odd));
      },
      1.0);
  CHECK_THAT(error, Contains("rank 1 waited") && Contains("from rank 3"));
}

TEST_CASE("ASplitThatARankMissesTimesOut") {
  const auto error = error_of(
      3,
      [](Comm& comm) {
        if (comm.rank() != 1) comm.split(0, 0);
      },
      1.0);
  CHECK_THAT(error, Contains("rank 1 did not come"));
}

TEST_CASE("AnExceptionInOneRankEndsAllAndIsRethrown") {
  std::atomic<int> released = 0;
  const auto error = error_of(3, [&](Comm& comm) {
    if (comm.rank() == 1) fail("no more of it");
    try {
      barrier(comm);
    } catch (const Error&) {
      ++released;
      throw;
    }
  });
  CHECK(error == "no more of it");
  CHECK(released == 2);
}

TEST_CASE("ARankThatEndsWithOperationsUnderWayDoesNotHarmTheOthers") {
  // Rank 0 posts and throws: its buffers are gone when rank 1 posts. Under AddressSanitizer.
  std::atomic<bool> thrown = false;
  const auto error = error_of(2, [&](Comm& comm) {
    std::vector<int64_t> bytes(2, 1000);
    if (comm.rank() == 1) {
      while (!thrown) std::this_thread::yield();
    }
    const test::OwnedAllToAll owned(Phase::rows, bytes, bytes);
    const Ticket ticket = comm.post(nullptr, owned.view());
    if (comm.rank() == 0) {
      thrown = true;
      fail("rank 0 leaves");
    }
    comm.wait(ticket);
  });
  CHECK(error == "rank 0 leaves");
}

TEST_CASE("SizesThatDisagreeThrow") {
  for (const auto& [sent, expected] :
       std::vector<std::pair<int, int>>{{8, 4}, {4, 8}, {0, 8}, {8, 0}, {100000, 99999}}) {
    const auto error = error_of(2, [sent = sent, expected = expected](Comm& comm) {
      const auto seen = test::sizes_disagree(comm, sent, expected);
      if (!seen.empty()) throw Error(seen);
    });
    CHECK_THAT(error, Contains(fmt::format("rank 0 sent {} bytes to rank 1, which expected {}", sent, expected)));
  }
}

TEST_CASE("PhasesThatDisagreeThrow") {
  const std::vector<int64_t> bytes(2, 4);
  const auto error = error_of(2, [&](Comm& comm) {
    const test::OwnedAllToAll owned(comm.rank() == 0 ? Phase::ids : Phase::rows, bytes, bytes);
    comm.wait(comm.post(nullptr, owned.view()));
  });
  CHECK_THAT(error, Contains("ids") && Contains("rows"));
}

TEST_CASE("ChangingASendBufferBeforeTheWaitThrows") {
  const std::vector<int64_t> bytes(2, 4);
  const auto error = error_of(2, [&](Comm& comm) {
    test::OwnedAllToAll owned(Phase::rows, bytes, bytes);
    const Ticket ticket = comm.post(nullptr, owned.view());
    if (comm.rank() == 1) owned.send(0)[2] = std::byte{1};
    comm.wait(ticket);
  });
  CHECK_THAT(error, Contains("rank 1 changed what it sends to rank 0"));
}

TEST_CASE("RanksAreNamedInWords") {
  const std::vector<int> many = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  CHECK(name_ranks(std::vector{4}) == "rank 4");
  CHECK(name_ranks(std::vector{1, 5, 7}) == "ranks 1, 5 and 7");
  CHECK(name_ranks(many) == "ranks 0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
}

TEST_CASE("EveryPhaseHasItsOwnName") {
  std::set<std::string> names;
  for (int phase = 0; phase < kPhases; ++phase) names.insert(phase_name(static_cast<Phase>(phase)));
  CHECK(std::ssize(names) == kPhases);
  CHECK(names.contains("ids"));
  CHECK(names.contains("control"));
}
