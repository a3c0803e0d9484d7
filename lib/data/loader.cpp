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
        turns((reader.batches() - reader.options().first_batch + reader.options().every - 1) / reader.options().every),
        ring(static_cast<size_t>(reader.options().ahead) + kInUse) {
    for (BatchBuffer& buffer : ring) reader.prepare(buffer);
    thread = std::thread([this] { run(); });
  }

  ~State() {
    stop = true;
    { const std::lock_guard lock(mutex); }  // so that the thread is either before its check of `stop` or waiting
    changed.notify_all();
    thread.join();
  }

  BatchBuffer& slot(int64_t turn) { return ring[static_cast<size_t>(turn) % ring.size()]; }
  int64_t batch_of(int64_t turn) const { return reader.options().first_batch + turn * reader.options().every; }

  void run() noexcept {
    try {
      for (int64_t turn = 0; turn < turns; ++turn) {
        {
          std::unique_lock lock(mutex);
          // The buffers of turns `taken - 2` and `taken - 1` are in use.
          changed.wait(lock, [&] { return stop || turn - (taken - kInUse) < static_cast<int64_t>(ring.size()); });
        }
        if (!stop) reader.fill(slot(turn), batch_of(turn), stop);
        if (stop) return;
        const std::lock_guard lock(mutex);
        made = turn + 1;
        changed.notify_all();
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
      changed.notify_all();
    }
  }

  BatchReader reader;
  const int64_t turns;                  ///< batches to deliver
  static constexpr int64_t kInUse = 2;  ///< batches given out that stay valid
  std::vector<BatchBuffer> ring;        ///< the batch of a turn is in slot turn mod (ahead + kInUse)
  std::mutex mutex;
  std::condition_variable changed;
  int64_t made = 0;   ///< turns before this are read
  int64_t taken = 0;  ///< turns before this were given out; the last two of them are in use
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
  if (s.taken == s.turns) return nullptr;
  std::unique_lock lock(s.mutex);
  const int64_t turn = s.taken++;  // gives back the buffer of turn - 2
  s.changed.notify_all();
  const auto ready = [&] { return s.made > turn || s.error; };
  if (!ready()) {
    const Timer timer;
    s.changed.wait(lock, ready);
    s.waited_seconds += timer.seconds();
  }
  if (s.made <= turn) {
    s.taken = turn;  // asking again gives the same error
    std::rethrow_exception(s.error);
  }
  return &s.slot(turn).batch;
}

int64_t Loader::batches() const {
  return state_->reader.batches();
}
double Loader::waited_seconds() const {
  return state_->waited_seconds;
}

}  // namespace sparrow
