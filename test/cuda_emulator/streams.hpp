// Streams as queues of work that runs late. Nothing runs when it is queued; work runs when the host waits for
// something, and then in a random order (CUDA_EMULATOR_SEED) that only the order within streams, events and the rules
// of the default stream constrain. So a wait that the program forgot is likely to be seen as wrong results.
//
// The order: every stream has a random priority, drawn anew now and then, and of the streams whose first work can run
// the one with the highest priority goes on. That gives, from time to time, both extremes: only what the host waits for
// runs, and everything else runs first.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace sparrow::emulator {

/// A point in a stream.
struct Mark {
  bool done = false;
  std::chrono::steady_clock::time_point time;  ///< when it was reached
};

class Queue {
 public:
  Queue(unsigned flags_, int priority_, int device_) : flags(flags_), priority(priority_), device(device_) {}

  const unsigned flags;
  const int priority, device;

 private:
  friend class Streams;
  /// Returns whether it is done; a communication that waits for others returns false and is tried again.
  using Work = std::function<bool()>;
  struct Item {
    std::vector<std::shared_ptr<Mark>> after;
    Work work;
    std::shared_ptr<Mark> mark;
  };
  std::deque<Item> items_;
  std::shared_ptr<Mark> last_;  ///< of what was queued last
  uint64_t rank_ = 0;           ///< its random priority
};

/// All streams of the process. Every function may be called from any thread.
class Streams {
 public:
  static Streams& instance();

  Queue* create(unsigned flags, int priority, int device);
  void destroy(Queue* queue);  ///< runs what is in it first
  Queue* default_queue() { return default_queue_; }

  void enqueue(Queue* queue, std::function<bool()> work);
  void enqueue_wait(Queue* queue, std::shared_ptr<Mark> mark);
  std::shared_ptr<Mark> mark(Queue* queue);  ///< of everything queued so far

  void run_until(const std::shared_ptr<Mark>& mark);
  void run_all();
  bool is_done(const std::shared_ptr<Mark>& mark);  ///< and lets some work run, so that asking in a loop ends

 private:
  Streams();
  std::shared_ptr<Mark> append(Queue* queue, std::function<bool()> work, std::shared_ptr<Mark> after);
  bool run_some(std::unique_lock<std::mutex>& lock);
  bool ready(const Queue& queue) const;
  uint64_t random();

  std::mutex mutex_;
  std::vector<std::unique_ptr<Queue>> queues_;
  Queue* default_queue_;
  uint64_t random_state_;
};

}  // namespace sparrow::emulator
