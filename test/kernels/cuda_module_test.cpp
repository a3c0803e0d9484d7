// Loading the CUDA backend, and what it says when something is missing.
#include "kernels/cuda_module.hpp"
#include <thread>

#include "base/error.hpp"
#include "test/kernels/harness.hpp"

using namespace sparrow;
using Catch::Matchers::Contains;

TEST_CASE("A missing module is an error that names its path") {
  CHECK_THROWS_WITH(make_cuda_backend({}, "/nowhere"), Contains("/nowhere/libsparrow_cuda.so"));
}

TEST_CASE("A device that does not exist is an error that names it") {
  CHECK_THROWS_WITH(make_cuda_backend({.device = 1000, .tf32 = false}, SPARROW_CUDA_MODULE_DIR), Contains("1000"));
  CHECK_THROWS_AS(make_cuda_backend({.device = -1, .tf32 = false}, SPARROW_CUDA_MODULE_DIR), Error);
}

TEST_CASE("Memory that does not fit is an error with its size and what is free, and the backend goes on") {
  const auto backend = make_cuda_backend({}, SPARROW_CUDA_MODULE_DIR);
  constexpr int64_t kTooMuch = int64_t{1} << 50;
  CHECK_THROWS_WITH(backend->allocate(Memory::device, kTooMuch),
                    Contains(std::to_string(kTooMuch)) && Contains("free"));
  const Array<int> small(*backend, Memory::device, 10);
  CHECK(small.data() != nullptr);
}

TEST_CASE("Two streams on one backend do not disturb each other's scratch memory") {
  const auto backend = make_cuda_backend({}, SPARROW_CUDA_MODULE_DIR);
  const test::Harness h(*backend);
  // Each stream lists the distinct keys of its own batch; the work of both is queued before any of it is waited for.
  constexpr int64_t n = 3000;
  struct Batch {
    std::unique_ptr<Stream> stream;
    Array<int64_t> keys, distinct;
    Array<int32_t> rows;
    std::vector<int64_t> segments;
  };
  std::vector<Batch> batches;
  for (const int64_t step : {7, 11}) {
    std::vector<int64_t> keys(n);
    for (int64_t i = 0; i < n; ++i) keys[static_cast<size_t>(i)] = i * step % 1000;
    batches.push_back({backend->make_stream(), h.upload(keys), h.poisoned<int64_t>(n), h.poisoned<int32_t>(n), {0, n}});
  }
  Array<int64_t> counts(*backend, Memory::pinned, 4);
  for (int round = 0; round < 3; ++round) {
    for (size_t b = 0; b < 2; ++b) {
      Batch& batch = batches[b];
      backend->distinct(*batch.stream, batch.keys.data(), batch.segments, batch.distinct.data(), counts.data() + 2 * b,
                        batch.rows.data());
    }
    for (const Batch& batch : batches) backend->synchronize(*batch.stream);
    CHECK(std::vector<int64_t>(counts.data(), counts.data() + 4) == std::vector<int64_t>{0, 1000, 0, 1000});
    for (size_t b = 0; b < 2; ++b) {
      const auto keys = h.download(batches[b].keys, n), distinct = h.download(batches[b].distinct, 1000);
      const auto rows = h.download(batches[b].rows, n);
      bool right = true;
      for (size_t i = 0; i < n; ++i) right = right && distinct[static_cast<size_t>(rows[i])] == keys[i];
      CHECK(right);
    }
  }
}

TEST_CASE("A thread that has used no device yet may use the backend's last device") {
  // With one device this only shows that it works; with two (CUDA_EMULATOR_DEVICES=2) that the thread's device is set.
  std::unique_ptr<Backend> backend;
  try {
    backend = make_cuda_backend({.device = 1, .tf32 = false}, SPARROW_CUDA_MODULE_DIR);
  } catch (const Error&) {
    backend = make_cuda_backend({}, SPARROW_CUDA_MODULE_DIR);
  }
  const test::Harness h(*backend);
  const Array<float> values = h.poisoned<float>(100);
  std::thread([&] {
    const Matrix all = Matrix::f32(values.data(), 10, 10);
    backend->zero(h.stream(), values.data(), 400);
    backend->convert(h.stream(), all, all);  // a kernel: refused on the wrong device
    backend->synchronize(h.stream());
  }).join();
  CHECK(h.download(values, 100) == std::vector<float>(100, 0.0f));
}
