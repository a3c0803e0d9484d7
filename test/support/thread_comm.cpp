#include "test/support/thread_comm.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>
#include <vector>

#include "base/error.hpp"
#include "comm/operation.hpp"

namespace sparrow {

namespace {

/// What all threads share: one lock for everything, and whether a rank has failed.
class World {
 public:
  explicit World(double timeout_seconds) : timeout_seconds_(timeout_seconds) {}

  double timeout_seconds() const { return timeout_seconds_; }
  std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex_); }
  void notify() { changed_.notify_all(); }

  /// Throws when another rank has failed. Holds the lock.
  void check() const {
    if (failure_) fail("ended because rank {} failed", failed_rank_);
  }

  /// Waits for `done`; false when the time is over; throws when another rank fails.
  bool wait(std::unique_lock<std::mutex>& lock, const std::function<bool()>& done) {
    const auto limit = std::chrono::duration<double>(timeout_seconds_);
    const bool in_time = changed_.wait_for(lock, limit, [&] { return failure_ || done(); });
    check();
    return in_time;
  }

  void fail_rank(int rank, std::exception_ptr failure) {
    const auto held = lock();
    if (!failure_) {
      failure_ = std::move(failure);
      failed_rank_ = rank;
    }
    notify();
  }
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  double timeout_seconds_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::exception_ptr failure_;
  int failed_rank_ = -1;
};

/// One operation of a group, until all of its ranks have waited for it. Parts do not change once posted, so they are
/// read without the lock.
struct Meeting {
  /// What a rank has posted: copies, as it may end with an exception while others go on.
  struct Part {
    bool posted = false;
    Phase phase = Phase::control;
    std::vector<int64_t> send_bytes, recv_bytes;
    std::vector<int64_t> begins;  // of the part for each rank in data
    std::vector<std::byte> data;
  };
  explicit Meeting(int size) : parts(size) {}
  std::vector<Part> parts;
  int waited = 0;
};

struct Group;

/// One split of a group, until all of its ranks have their part.
struct Splitting {
  explicit Splitting(int size) : colors(size), keys(size), came(size, false), groups(size), ranks(size) {}
  std::vector<int> colors, keys;
  std::vector<bool> came;
  std::vector<std::shared_ptr<Group>> groups;  // by old rank
  std::vector<int> ranks;                      // new rank by old rank
  int missing() const { return static_cast<int>(std::count(came.begin(), came.end(), false)); }
  int offloaded = 0;
};

/// The ranks of a communicator. Guarded by the lock of the world.
struct Group {
  explicit Group(std::vector<int> names) : world_ranks(std::move(names)) {}
  int size() const { return static_cast<int>(world_ranks.size()); }

  std::vector<int> world_ranks;
  std::map<int64_t, Meeting> meetings;      // by number of operation
  std::map<int64_t, Splitting> splittings;  // by number of split
};

class ThreadComm final : public Comm {
 public:
  ThreadComm(std::shared_ptr<World> world, std::shared_ptr<Group> group, int rank)
      : world_(std::move(world)), group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  const Traffic& traffic() const override { return traffic_; }
  double timeout_seconds() const override { return world_->timeout_seconds(); }
  std::string name() const override { return "threads"; }

  Ticket post(Stream* stream, const AllToAll& operation) override;
  void wait(Ticket ticket) override;
  std::unique_ptr<Comm> split(int color, int key) override;

 private:
  void check_agreement(const Meeting& meeting, int from, int to) const;
  void check_unchanged(const AllToAll& operation, const Meeting::Part& own) const;
  std::vector<int> missing(const Meeting& meeting) const;

  struct Posted {
    int64_t number = -1;  // of the operation in this group; -1: none
    AllToAll operation;
  };

  std::shared_ptr<World> world_;
  std::shared_ptr<Group> group_;
  int rank_;
  int64_t next_operation_ = 0, next_split_ = 0;
  std::array<Posted, kMaxPosted> posted_;
  Traffic traffic_;
};

Meeting::Part pack(const AllToAll& operation) {
  Meeting::Part part{true, operation.phase, {}, {}, {}, {}};
  part.send_bytes.assign(operation.send_bytes.begin(), operation.send_bytes.end());
  part.recv_bytes.assign(operation.recv_bytes.begin(), operation.recv_bytes.end());
  for (size_t peer = 0; peer < part.send_bytes.size(); ++peer) {
    const std::byte* begin = operation.send + operation.send_offsets[peer];
    part.begins.push_back(static_cast<int64_t>(part.data.size()));
    if (part.send_bytes[peer] > 0) part.data.insert(part.data.end(), begin, begin + part.send_bytes[peer]);
  }
  return part;
}

Ticket ThreadComm::post(Stream*, const AllToAll& operation) {
  check_operation(operation, rank_, size());
  const auto slot = std::find_if(posted_.begin(), posted_.end(), [](const Posted& p) { return p.number < 0; });
  if (slot == posted_.end()) fail("more than {} operations posted and not waited for", kMaxPosted);
  Meeting::Part part = pack(operation);
  const auto lock = world_->lock();
  world_->check();
  *slot = {next_operation_++, operation};
  Meeting& meeting = group_->meetings.try_emplace(slot->number, size()).first->second;
  meeting.parts[rank_] = std::move(part);
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == rank_ || !meeting.parts[peer].posted) continue;
    check_agreement(meeting, peer, rank_);
    check_agreement(meeting, rank_, peer);
  }
  count_sent(traffic_, operation, rank_, level_of_rank_);
  world_->notify();
  return {static_cast<int>(slot - posted_.begin())};
}

void ThreadComm::check_agreement(const Meeting& meeting, int from, int to) const {
  const Meeting::Part &sender = meeting.parts[from], &receiver = meeting.parts[to];
  if (sender.phase != receiver.phase) {
    fail("rank {} is in an all-to-all for {}, rank {} in one for {}", group_->world_ranks[from],
         phase_name(sender.phase), group_->world_ranks[to], phase_name(receiver.phase));
  }
  if (sender.send_bytes[to] != receiver.recv_bytes[from]) {
    fail("all-to-all ({}): rank {} sent {} bytes to rank {}, which expected {} from it", phase_name(sender.phase),
         group_->world_ranks[from], sender.send_bytes[to], group_->world_ranks[to], receiver.recv_bytes[from]);
  }
}

/// MPI might have sent the bytes at any time until now.
void ThreadComm::check_unchanged(const AllToAll& operation, const Meeting::Part& own) const {
  for (int peer = 0; peer < size(); ++peer) {
    const int64_t bytes = own.send_bytes[peer];
    const bool in_place =
        peer == rank_ && operation.send + operation.send_offsets[peer] == operation.recv + operation.recv_offsets[peer];
    if (bytes == 0 || in_place) continue;
    if (std::memcmp(operation.send + operation.send_offsets[peer], own.data.data() + own.begins[peer], bytes) != 0) {
      fail("all-to-all ({}): rank {} changed what it sends to rank {} before the wait", phase_name(operation.phase),
           group_->world_ranks[rank_], group_->world_ranks[peer]);
    }
  }
}

/// World ranks that this one exchanges bytes with and that have not posted.
std::vector<int> ThreadComm::missing(const Meeting& meeting) const {
  std::vector<int> ranks;
  const Meeting::Part& own = meeting.parts[rank_];
  for (int peer = 0; peer < size(); ++peer) {
    const bool concerned = own.send_bytes[peer] > 0 || own.recv_bytes[peer] > 0;
    if (concerned && !meeting.parts[peer].posted) ranks.push_back(group_->world_ranks[peer]);
  }
  return ranks;
}

void ThreadComm::wait(Ticket ticket) {
  if (ticket.index < 0 || ticket.index >= kMaxPosted || posted_[ticket.index].number < 0) {
    fail("ticket {} names no operation under way", ticket.index);
  }
  const auto [number, operation] = posted_[ticket.index];
  auto lock = world_->lock();
  Meeting& meeting = group_->meetings.at(number);
  if (!world_->wait(lock, [&] { return missing(meeting).empty(); })) {
    fail("rank {} waited {} s for an all-to-all ({}): nothing came from {}", group_->world_ranks[rank_],
         timeout_seconds(), phase_name(operation.phase), name_ranks(missing(meeting)));
  }
  lock.unlock();
  check_unchanged(operation, meeting.parts[rank_]);
  for (int peer = 0; peer < size(); ++peer) {
    const Meeting::Part& part = meeting.parts[peer];
    const int64_t bytes = operation.recv_bytes[peer];
    if (bytes == 0) continue;
    std::memcpy(operation.recv + operation.recv_offsets[peer], part.data.data() + part.begins[rank_], bytes);
  }
  lock.lock();
  posted_[ticket.index].number = -1;
  count_received(traffic_, operation, rank_);
  if (++meeting.waited == size()) group_->meetings.erase(number);
}

std::unique_ptr<Comm> ThreadComm::split(int color, int key) {
  auto lock = world_->lock();
  world_->check();
  const int64_t number = next_split_++;
  Splitting& splitting = group_->splittings.try_emplace(number, size()).first->second;
  splitting.colors[rank_] = color;
  splitting.keys[rank_] = key;
  splitting.came[rank_] = true;
  if (splitting.missing() == 0) {
    std::map<int, std::vector<int>> members;  // by colour
    for (int rank = 0; rank < size(); ++rank) {
      if (splitting.colors[rank] >= 0) members[splitting.colors[rank]].push_back(rank);
    }
    for (auto& [_, ranks] : members) {
      std::stable_sort(ranks.begin(), ranks.end(), [&](int a, int b) { return splitting.keys[a] < splitting.keys[b]; });
      std::vector<int> names;
      for (const int rank : ranks) names.push_back(group_->world_ranks[rank]);
      const auto group = std::make_shared<Group>(std::move(names));
      for (size_t i = 0; i < ranks.size(); ++i) {
        splitting.groups[ranks[i]] = group;
        splitting.ranks[ranks[i]] = static_cast<int>(i);
      }
    }
    world_->notify();
  }
  if (!world_->wait(lock, [&] { return splitting.missing() == 0; })) {
    std::vector<int> absent;
    for (int rank = 0; rank < size(); ++rank) {
      if (!splitting.came[rank]) absent.push_back(group_->world_ranks[rank]);
    }
    fail("rank {} waited {} s for a split: {} did not come", group_->world_ranks[rank_], timeout_seconds(),
         name_ranks(absent));
  }
  const auto group = std::move(splitting.groups[rank_]);
  const int rank = splitting.ranks[rank_];
  if (++splitting.offloaded == size()) group_->splittings.erase(number);
  if (!group) return nullptr;
  return std::make_unique<ThreadComm>(world_, group, rank);
}

}  // namespace

void run_ranks(int ranks, const std::function<void(Comm&)>& body, double timeout_seconds) {
  SPARROW_CHECK(ranks > 0 && timeout_seconds > 0, "{} ranks, time-out of {} s", ranks, timeout_seconds);
  const auto world = std::make_shared<World>(timeout_seconds);
  std::vector<int> names(ranks);
  for (int rank = 0; rank < ranks; ++rank) names[rank] = rank;
  const auto group = std::make_shared<Group>(std::move(names));
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] {
        try {
          ThreadComm comm(world, group, rank);
          body(comm);
        } catch (...) {
          world->fail_rank(rank, std::current_exception());
        }
      });
    }
  }
  world->rethrow();
}

}  // namespace sparrow
