#include "test/kernels/backends.hpp"

namespace sparrow::test {
namespace {

#ifdef __SANITIZE_THREAD__
constexpr int kMostThreads = 1;  // ThreadSanitizer does not see how libgomp's threads wait for each other
#else
constexpr int kMostThreads = 3;
#endif

}  // namespace

/// The host backend with 1, 2 and 3 threads: none, an even and an uneven split.
std::vector<NamedBackend> backends_under_test() {
  std::vector<NamedBackend> backends;
  for (int threads = 1; threads <= kMostThreads; ++threads) {
    backends.push_back({"host, " + std::to_string(threads) + " threads", make_host_backend(threads)});
  }
  return backends;
}

}  // namespace sparrow::test
