#include "assign/assigner_threads.hpp"

namespace sparrow {

namespace {
constexpr int kSpins = 2000;  // some microseconds

/// Returns when the value is not `old` any more.
template <class T>
void wait_while(const std::atomic<T>& value, T old) {
  for (int spin = 0; spin < kSpins; ++spin)
    if (value.load(std::memory_order_acquire) != old) return;
  value.wait(old, std::memory_order_acquire);
}
}  // namespace

AssignerThreads::AssignerThreads(int threads) {
  for (int number = 1; number < threads; ++number) threads_.emplace_back([this, number] { serve(number); });
}

AssignerThreads::~AssignerThreads() {
  end_ = true;
  ++jobs_;
  jobs_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void AssignerThreads::run(const Job& job) {
  job_ = job;
  busy_ = static_cast<int32_t>(threads_.size());
  ++jobs_;
  jobs_.notify_all();
  job.part(0);
  for (int32_t left = busy_.load(std::memory_order_acquire); left != 0; left = busy_.load(std::memory_order_acquire))
    wait_while(busy_, left);
}

void AssignerThreads::serve(int64_t number) {
  for (uint32_t done = 0;; ++done) {
    wait_while(jobs_, done);
    if (end_) return;
    if (number < job_.parts) job_.part(number);
    if (--busy_ == 0) busy_.notify_one();
  }
}

}  // namespace sparrow
