#include "streams.hpp"

#include <cuda_runtime_api.h>
#include <sched.h>

#include <algorithm>

#include "machine.hpp"

namespace sparrow::emulator {

Streams& Streams::instance() {
  static Streams* streams = new Streams;  // never destroyed: programs synchronise in destructors of their own statics
  return *streams;
}

Streams::Streams() : random_state_(static_cast<uint64_t>(number_set("CUDA_EMULATOR_SEED", 1))) {
  default_queue_ = create(cudaStreamDefault, 0, 0);
}

/// splitmix64
uint64_t Streams::random() {
  uint64_t x = random_state_ += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

Queue* Streams::create(unsigned flags, int priority, int device) {
  const std::lock_guard lock(mutex_);
  queues_.push_back(std::make_unique<Queue>(flags, priority, device));
  queues_.back()->rank_ = random();
  return queues_.back().get();
}

void Streams::destroy(Queue* queue) {
  run_until(mark(queue));
  const std::lock_guard lock(mutex_);
  std::erase_if(queues_, [=](const std::unique_ptr<Queue>& q) { return q.get() == queue; });
}

std::shared_ptr<Mark> Streams::append(Queue* queue, std::function<bool()> work, std::shared_ptr<Mark> after) {
  Queue::Item item{{}, std::move(work), std::make_shared<Mark>()};
  if (after) item.after.push_back(std::move(after));
  // The default stream and those not created as non-blocking wait for each other.
  for (const auto& other : queues_) {
    const bool linked = (queue == default_queue_ && !(other->flags & cudaStreamNonBlocking)) ||
                        (other.get() == default_queue_ && !(queue->flags & cudaStreamNonBlocking));
    if (linked && other.get() != queue && other->last_ && !other->last_->done) item.after.push_back(other->last_);
  }
  queue->last_ = item.mark;
  queue->items_.push_back(std::move(item));
  return queue->last_;
}

void Streams::enqueue(Queue* queue, std::function<bool()> work) {
  const std::lock_guard lock(mutex_);
  append(queue, std::move(work), nullptr);
}

void Streams::enqueue_wait(Queue* queue, std::shared_ptr<Mark> mark) {
  const std::lock_guard lock(mutex_);
  append(
      queue, [] { return true; }, std::move(mark));
}

std::shared_ptr<Mark> Streams::mark(Queue* queue) {
  const std::lock_guard lock(mutex_);
  return append(
      queue, [] { return true; }, nullptr);
}

bool Streams::ready(const Queue& queue) const {
  return !queue.items_.empty() && std::all_of(queue.items_.front().after.begin(), queue.items_.front().after.end(),
                                              [](const std::shared_ptr<Mark>& mark) { return mark->done; });
}

/// Runs the first work of one stream. False if none could be finished.
bool Streams::run_some(std::unique_lock<std::mutex>& lock) {
  if (random() % 8 == 0) {
    for (const auto& queue : queues_) queue->rank_ = random();
  }
  std::vector<Queue*> candidates;
  for (const auto& queue : queues_) {
    if (ready(*queue)) candidates.push_back(queue.get());
  }
  std::sort(candidates.begin(), candidates.end(), [](const Queue* a, const Queue* b) { return a->rank_ > b->rank_; });
  for (Queue* queue : candidates) {
    Queue::Item& item = queue->items_.front();  // a deque: stays in place while others append
    if (!item.work()) continue;
    item.mark->done = true;
    item.mark->time = std::chrono::steady_clock::now();
    queue->items_.pop_front();
    return true;
  }
  // All that could run waits for other processes.
  if (candidates.empty()) return false;
  lock.unlock();
  sched_yield();
  lock.lock();
  return true;
}

void Streams::run_until(const std::shared_ptr<Mark>& mark) {
  std::unique_lock lock(mutex_);
  while (!mark->done) {
    if (!run_some(lock)) die("DEADLOCK: the host waits for work that cannot run");
  }
}

void Streams::run_all() {
  std::unique_lock lock(mutex_);
  while (run_some(lock)) {
  }
}

bool Streams::is_done(const std::shared_ptr<Mark>& mark) {
  std::unique_lock lock(mutex_);
  if (!mark->done) run_some(lock);
  return mark->done;
}

}  // namespace sparrow::emulator
