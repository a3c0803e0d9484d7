#include "comm/mpi_comm.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/timer.hpp"
#include "comm/mpi_check.hpp"
#include "comm/operation.hpp"

namespace sparrow {

namespace {

/// The communicator's longest tag is at least 32767 by the standard; Open MPI's is 2^31 - 1.
int largest_tag() {
  void* value = nullptr;
  int found = 0;
  check_mpi(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &value, &found), "MPI_Comm_get_attr");
  return found ? *static_cast<int*>(value) : 32767;
}

/// Between two polls. Large messages through shared memory move a fragment a poll: a wait of less than a millisecond
/// only yields, for sleeping would make such exchanges ten times as long. A longer one is for a network or a late rank;
/// a rank that computes and exchanges on a thread each may have one core for both, and polling that goes on would take
/// it from the other thread: from then on it sleeps.
class Pause {
 public:
  void operator()() {
    constexpr double kAwakeSeconds = 1e-3;
    constexpr auto kSleep = std::chrono::microseconds(20);  // the timer of the system adds some 50
    awake_ = awake_ && waiting_.seconds() < kAwakeSeconds;
    if (awake_)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(kSleep);
  }

 private:
  Timer waiting_;
  bool awake_ = true;
};

/// Waits for a request of a collective call, with a deadline.
void finish(MPI_Request& request, const char* call, double timeout_seconds) {
  const Timer timer;
  Pause pause;
  for (int done = 0; !done; pause()) {
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), call);
    if (!done && timer.seconds() > timeout_seconds) {
      fail("{}: not all ranks came within {} s", call, timeout_seconds);
    }
  }
}

class MpiComm final : public Comm {
 public:
  MpiComm(MPI_Comm comm, double timeout_seconds, int64_t max_message_bytes)
      : comm_(comm), timeout_seconds_(timeout_seconds), max_message_bytes_(max_message_bytes) {
    check_mpi(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check_mpi(MPI_Comm_rank(comm, &rank_), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(comm, &size_), "MPI_Comm_size");
    last_tag_ = largest_tag();
  }
  ~MpiComm() override {
    for (Posted& posted : posted_) abandon(posted);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const Traffic& traffic() const override { return traffic_; }
  double timeout_seconds() const override { return timeout_seconds_; }
  std::string name() const override { return "mpi"; }

  Ticket post(Stream* stream, const AllToAll& operation) override;
  void wait(Ticket ticket) override;
  std::unique_ptr<Comm> split(int color, int key) override;

 private:
  /// One message of an operation, beside its request.
  struct Message {
    int peer;
    bool receive;
    int bytes;
  };
  /// An operation under way. Its vectors keep their memory from one to the next.
  struct Posted {
    bool active = false;
    int tag = 0;
    AllToAll operation;
    std::vector<MPI_Request> requests;
    std::vector<Message> messages;
    size_t pending = 0;
  };

  void start_messages(Posted& posted, int peer, bool receive);
  bool poll(Posted& posted);
  void finish_message(const Posted& posted, const Message& message, const MPI_Status& status, bool has_error) const;
  void check_nothing_more(const Posted& posted) const;
  [[noreturn]] void time_out(const Posted& posted) const;
  int world_rank(int rank) const;
  void abandon(Posted& posted) noexcept;

  MpiHandle comm_;
  double timeout_seconds_;
  int64_t max_message_bytes_;
  int rank_ = 0, size_ = 1;
  int last_tag_ = 0, next_tag_ = 0;
  bool failed_ = false;
  Traffic traffic_;
  std::array<Posted, kMaxPosted> posted_;
  std::vector<int> completed_;        // of MPI_Testsome
  std::vector<MPI_Status> statuses_;  // of MPI_Testsome
};

Ticket MpiComm::post(Stream*, const AllToAll& operation) {
  if (failed_) fail("this communicator has failed before");
  check_operation(operation, rank_, size_);
  const auto slot = std::find_if(posted_.begin(), posted_.end(), [](const Posted& p) { return !p.active; });
  if (slot == posted_.end()) fail("more than {} operations posted and not waited for", kMaxPosted);
  Posted& posted = *slot;
  posted.active = true;
  posted.tag = next_tag_;
  posted.operation = operation;
  posted.requests.reserve(2 * size_);  // once: from then on nothing is allocated, but for parts of many chunks
  posted.messages.reserve(2 * size_);
  next_tag_ = next_tag_ == last_tag_ ? 0 : next_tag_ + 1;
  try {
    // Each rank begins with another peer, so that not all send to the same one at once.
    for (int i = 1; i < size_; ++i) start_messages(posted, (rank_ - i + size_) % size_, true);
    for (int i = 1; i < size_; ++i) start_messages(posted, (rank_ + i) % size_, false);
  } catch (...) {
    abandon(posted);
    throw;
  }
  posted.pending = posted.requests.size();
  if (completed_.size() < posted.pending) {
    completed_.resize(posted.pending);
    statuses_.resize(posted.pending);
  }
  copy_own_part(operation, rank_);
  count_sent(traffic_, operation, rank_, level_of_rank_);
  return {static_cast<int>(slot - posted_.begin())};
}

void MpiComm::start_messages(Posted& posted, int peer, bool receive) {
  const AllToAll& operation = posted.operation;
  const int64_t bytes = receive ? operation.recv_bytes[peer] : operation.send_bytes[peer];
  for (int64_t done = 0; done < bytes; done += max_message_bytes_) {
    const int count = static_cast<int>(std::min(bytes - done, max_message_bytes_));
    MPI_Request request = MPI_REQUEST_NULL;
    if (receive) {
      check_mpi(MPI_Irecv(operation.recv + operation.recv_offsets[peer] + done, count, MPI_BYTE, peer, posted.tag,
                          comm_.get(), &request),
                "MPI_Irecv");
    } else {
      check_mpi(MPI_Isend(operation.send + operation.send_offsets[peer] + done, count, MPI_BYTE, peer, posted.tag,
                          comm_.get(), &request),
                "MPI_Isend");
    }
    posted.requests.push_back(request);
    posted.messages.push_back({peer, receive, count});
  }
}

void MpiComm::wait(Ticket ticket) {
  if (ticket.index < 0 || ticket.index >= kMaxPosted || !posted_[ticket.index].active) {
    fail("ticket {} names no operation under way", ticket.index);
  }
  Posted& posted = posted_[ticket.index];
  try {
    const Timer timer;
    Pause pause;
    while (!poll(posted)) {
      if (timer.seconds() > timeout_seconds_) time_out(posted);
      pause();
    }
    check_nothing_more(posted);
  } catch (...) {
    abandon(posted);
    throw;
  }
  count_received(traffic_, posted.operation, rank_);
  posted.active = false;
  posted.requests.clear();
  posted.messages.clear();
}

/// True when all messages are done.
bool MpiComm::poll(Posted& posted) {
  if (posted.pending == 0) return true;
  int count = 0;
  const int code = MPI_Testsome(static_cast<int>(posted.requests.size()), posted.requests.data(), &count,
                                completed_.data(), statuses_.data());
  if (code != MPI_ERR_IN_STATUS) check_mpi(code, "MPI_Testsome");
  for (int i = 0; i < count; ++i) {
    finish_message(posted, posted.messages[completed_[i]], statuses_[i], code == MPI_ERR_IN_STATUS);
  }
  posted.pending -= count;
  return posted.pending == 0;
}

void MpiComm::finish_message(const Posted& posted, const Message& message, const MPI_Status& status,
                             bool has_error) const {
  const char* call = message.receive ? "MPI_Irecv" : "MPI_Isend";
  const char* phase = phase_name(posted.operation.phase);
  if (has_error && status.MPI_ERROR == MPI_ERR_TRUNCATE) {
    fail("all-to-all ({}): rank {} sent more than the {} bytes expected from it", phase, world_rank(message.peer),
         message.bytes);
  }
  if (has_error) check_mpi(status.MPI_ERROR, call);
  if (!message.receive) return;
  int received = 0;
  check_mpi(MPI_Get_count(&status, MPI_BYTE, &received), "MPI_Get_count");
  if (received != message.bytes) {
    fail("all-to-all ({}): rank {} sent {} bytes, {} were expected from it", phase, world_rank(message.peer), received,
         message.bytes);
  }
}

/// A message left over means that its sender gives more bytes than recv_bytes says.
void MpiComm::check_nothing_more(const Posted& posted) const {
  int found = 0;
  MPI_Status status;
  check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, posted.tag, comm_.get(), &found, &status), "MPI_Iprobe");
  if (!found) return;
  fail("all-to-all ({}): rank {} sent more than the {} bytes expected from it", phase_name(posted.operation.phase),
       world_rank(status.MPI_SOURCE), posted.operation.recv_bytes[status.MPI_SOURCE]);
}

void MpiComm::time_out(const Posted& posted) const {
  std::vector<int> silent, deaf;  // those that did not send, those that did not take
  for (size_t i = 0; i < posted.requests.size(); ++i) {
    if (posted.requests[i] == MPI_REQUEST_NULL) continue;
    std::vector<int>& ranks = posted.messages[i].receive ? silent : deaf;
    ranks.push_back(world_rank(posted.messages[i].peer));
  }
  std::string what;
  for (auto* ranks : {&silent, &deaf}) {
    if (ranks->empty()) continue;
    std::sort(ranks->begin(), ranks->end());
    ranks->erase(std::unique(ranks->begin(), ranks->end()), ranks->end());
    what += fmt::format("{}{}{}", what.empty() ? "" : "; ", ranks == &silent ? "nothing came from " : "not taken by ",
                        name_ranks(*ranks));
  }
  fail("rank {} waited {} s for an all-to-all ({}): {}", world_rank(rank_), timeout_seconds_,
       phase_name(posted.operation.phase), what);
}

int MpiComm::world_rank(int rank) const {
  MPI_Group world = MPI_GROUP_NULL, group = MPI_GROUP_NULL;
  int translated = rank;
  check_mpi(MPI_Comm_group(MPI_COMM_WORLD, &world), "MPI_Comm_group");
  check_mpi(MPI_Comm_group(comm_.get(), &group), "MPI_Comm_group");
  const int code = MPI_Group_translate_ranks(group, 1, &rank, world, &translated);
  MPI_Group_free(&group);
  MPI_Group_free(&world);
  check_mpi(code, "MPI_Group_translate_ranks");
  return translated;
}

/// Gives up an operation: its buffers are about to go, so nothing may be received into them. Sends cannot be cancelled.
void MpiComm::abandon(Posted& posted) noexcept {
  if (!posted.active) return;
  for (size_t i = 0; i < posted.requests.size(); ++i) {
    if (posted.requests[i] == MPI_REQUEST_NULL) continue;
    if (posted.messages[i].receive) MPI_Cancel(&posted.requests[i]);
    MPI_Request_free(&posted.requests[i]);
  }
  posted.active = false;
  failed_ = true;
}

std::unique_ptr<Comm> MpiComm::split(int color, int key) {
  if (failed_) fail("this communicator has failed before");
  // MPI_Comm_split waits without an end, so everybody must be here first.
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibarrier(comm_.get(), &request), "MPI_Ibarrier");
  failed_ = true;  // unless all goes well
  finish(request, "MPI_Ibarrier", timeout_seconds_);
  MPI_Comm part = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(comm_.get(), color < 0 ? MPI_UNDEFINED : color, key, &part), "MPI_Comm_split");
  failed_ = false;
  if (part == MPI_COMM_NULL) return nullptr;
  return std::make_unique<MpiComm>(part, timeout_seconds_, max_message_bytes_);
}

}  // namespace

std::unique_ptr<Comm> make_mpi_comm(MpiRuntime&, double timeout_seconds, int64_t max_message_bytes) {
  SPARROW_CHECK(timeout_seconds > 0, "time-out of {} s", timeout_seconds);
  SPARROW_CHECK(max_message_bytes >= 1 && max_message_bytes <= int64_t{1} << 30, "{} bytes", max_message_bytes);
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Comm_idup(MPI_COMM_WORLD, &comm, &request), "MPI_Comm_idup");
  finish(request, "MPI_Comm_idup", timeout_seconds);
  return std::make_unique<MpiComm>(comm, timeout_seconds, max_message_bytes);
}

}  // namespace sparrow
