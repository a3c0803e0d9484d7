// A few threads that share the work of a loop, often and for microseconds: they spin a little before they sleep.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace sparrow {

class AssignerThreads {
 public:
  explicit AssignerThreads(int threads);
  ~AssignerThreads();
  AssignerThreads(const AssignerThreads&) = delete;
  AssignerThreads& operator=(const AssignerThreads&) = delete;

  /// work(begin, end) for parts of 0 .. n - 1, one per thread; parts of fewer than `least` are not worth a thread. work
  /// must not throw. Takes no memory.
  template <class Work>
  void split(int64_t n, int64_t least, const Work& work) {
    const int64_t parts = std::min<int64_t>(std::ssize(threads_) + 1, n / least);
    if (parts <= 1) return n > 0 ? work(int64_t{0}, n) : void();
    run({[](const void* of, int64_t begin, int64_t end) { (*static_cast<const Work*>(of))(begin, end); }, &work, n,
         parts});
  }

 private:
  struct Job {
    void (*call)(const void*, int64_t, int64_t);
    const void* work;
    int64_t n, parts;
    void part(int64_t number) const { call(work, n * number / parts, n * (number + 1) / parts); }
  };
  void run(const Job& job);
  void serve(int64_t number);

  Job job_{};
  std::atomic<uint32_t> jobs_{0};  ///< given out so far
  std::atomic<int32_t> busy_{0};   ///< threads that have not finished the last one
  std::atomic<bool> end_{false};
  std::vector<std::thread> threads_;
};

}  // namespace sparrow
