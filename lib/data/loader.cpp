#include "data/loader.hpp"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "base/timer.hpp"
#include "data/batch_reader.hpp"

namespace sparrow {

struct Loader::State {
  State(const Dataset& data, SampleRange range, const PositionMap& positions, LoaderOptions options)
      : reader(data, range, positions, std::move(options)),
        ring(static_cast<size_t>(reader.options().ahead) + kInUse),
        made(reader.options().first_batch),
        taken(made) {
    for (BatchBuffer& buffer : ring) reader.prepare(buffer);
    thread = std::thread([this] { run(); });
  }

  ~State() {
    stop = true;
    { const std::lock_guard lock(mutex); }  // so that the thread is either before its check of `stop` or waiting
    changed.notify_all();
    thread.join();
  }

  BatchBuffer& slot(int64_t k) { return ring[static_cast<size_t>(k) % ring.size()]; }

  void run() noexcept {
    try {
      for (int64_t k = made; k < reader.batches(); ++k) {
        {
          std::unique_lock lock(mutex);
          // The buffers of batches `taken - 2` and `taken - 1` are in use.
          changed.wait(lock, [&] { return stop || k - (taken - kInUse) < static_cast<int64_t>(ring.size()); });
        }
        if (!stop) reader.fill(slot(k), k, stop);
        if (stop) return;
        const std::lock_guard lock(mutex);
        made = k + 1;
        changed.notify_all();
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
      changed.notify_all();
    }
  }

  BatchReader reader;
  static constexpr int64_t kInUse = 2;  ///< batches given out that stay valid
  std::vector<BatchBuffer> ring;        ///< batch k is in slot k mod (ahead + kInUse)
  std::mutex mutex;
  std::condition_variable changed;
  int64_t made;   ///< batches before this are read (counted from 0, as if the pass had begun there)
  int64_t taken;  ///< batches before this were given out; the last two of them are in use
  std::exception_ptr error;
  std::atomic<bool> stop = false;
  double waited_seconds = 0;
  std::thread thread;
};

Loader::Loader(const Dataset& data, SampleRange range, const PositionMap& positions, LoaderOptions options)
    : state_(std::make_unique<State>(data, range, positions, std::move(options))) {}

Loader::~Loader() = default;

const Batch* Loader::next() {
  State& s = *state_;
  if (s.taken == s.reader.batches()) return nullptr;
  std::unique_lock lock(s.mutex);
  const int64_t k = s.taken++;  // gives back the buffer of batch k - 2
  s.changed.notify_all();
  const auto ready = [&] { return s.made > k || s.error; };
  if (!ready()) {
    const Timer timer;
    s.changed.wait(lock, ready);
    s.waited_seconds += timer.seconds();
  }
  if (s.made <= k) {
    s.taken = k;  // asking again gives the same error
    std::rethrow_exception(s.error);
  }
  return &s.slot(k).batch;
}

int64_t Loader::batches() const {
  return state_->reader.batches();
}
double Loader::waited_seconds() const {
  return state_->waited_seconds;
}

}  // namespace sparrow
