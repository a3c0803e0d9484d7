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
  CHECK_THROWS_WITH(make_cuda_backend({.device = 1000, .tf32 = false, .arena_bytes = 0}, SPARROW_CUDA_MODULE_DIR),
                    Contains("1000"));
  CHECK_THROWS_AS(make_cuda_backend({.device = -1, .tf32 = false, .arena_bytes = 0}, SPARROW_CUDA_MODULE_DIR), Error);
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
    for (int64_t i = 0; i < n; ++i) keys[i] = i * step % 1000;
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
      for (size_t i = 0; i < n; ++i) right = right && distinct[rows[i]] == keys[i];
      CHECK(right);
    }
  }
}

TEST_CASE("A thread that has used no device yet may use the backend's last device") {
  // With one device this only shows that it works; with two (CUDA_EMULATOR_DEVICES=2) that the thread's device is set.
  std::unique_ptr<Backend> backend;
  try {
    backend = make_cuda_backend({.device = 1, .tf32 = false, .arena_bytes = 0}, SPARROW_CUDA_MODULE_DIR);
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

TEST_CASE("An arena bounds what a backend takes, is used again, and its end is an error that names every part") {
  constexpr int64_t kMiB = 1 << 20;
  const auto backend =
      make_cuda_backend({.device = 0, .tf32 = false, .arena_bytes = 8 * kMiB}, SPARROW_CUDA_MODULE_DIR);
  const test::Harness h(*backend);
  for (int round = 0; round < 3; ++round) {
    std::vector<Array<float>> arrays;
    for (int i = 0; i < 7; ++i) {
      arrays.emplace_back(*backend, Memory::device, kMiB / 4);
      CHECK(reinterpret_cast<uintptr_t>(arrays.back().data()) % 256 == 0);
      // Work that is still queued when the array goes, and another gets its place.
      backend->zero(h.stream(), arrays.back().data(), kMiB);
    }
    CHECK_THROWS_WITH(backend->allocate(Memory::device, 2 * kMiB),
                      Contains("2097152 bytes") && Contains("8.0 MiB") && Contains("other 7.0 MiB"));
  }
  const Array<float> all(*backend, Memory::device, 2 * kMiB);  // in one piece again
  CHECK_THROWS_WITH(
      make_cuda_backend({.device = 0, .tf32 = false, .arena_bytes = int64_t{1} << 50}, SPARROW_CUDA_MODULE_DIR),
      Contains("are free"));
  CHECK_THROWS_AS(make_cuda_backend({.device = 0, .tf32 = false, .arena_bytes = -2}, SPARROW_CUDA_MODULE_DIR), Error);
}

TEST_CASE("Scratch space that grows takes nothing from work that is still queued") {
  // Keys of two streams in turn, ever more, in an arena so small that released space is needed again at once.
  const auto backend = make_cuda_backend({.device = 0, .tf32 = false, .arena_bytes = 3 << 20}, SPARROW_CUDA_MODULE_DIR);
  const test::Harness h(*backend);
  const auto other = backend->make_stream();
  Array<int64_t> counts(*backend, Memory::pinned, 4);
  for (int64_t n = 1000; n <= 8000; n *= 2) {
    std::vector<int64_t> keys(n);
    for (int64_t i = 0; i < n; ++i) keys[i] = i * 7 % (n / 3);
    const Array<int64_t> there = h.upload(keys);
    const Array<int64_t> lists[] = {h.poisoned<int64_t>(n), h.poisoned<int64_t>(n)};
    const Array<int32_t> rows[] = {h.poisoned<int32_t>(n), h.poisoned<int32_t>(n)};
    const std::vector<int64_t> segments{0, n};
    backend->distinct(h.stream(), there.data(), segments, lists[0].data(), counts.data(), rows[0].data());
    backend->distinct(*other, there.data(), segments, lists[1].data(), counts.data() + 2, rows[1].data());
    backend->synchronize(h.stream());
    backend->synchronize(*other);
    CHECK(counts[1] == n / 3);
    CHECK(counts[3] == n / 3);
    CHECK(h.download(rows[0], n) == h.download(rows[1], n));
  }
}

TEST_CASE("GPUs are listed with what tells them apart") {
  const std::vector<CudaDevice> devices = list_cuda_devices(SPARROW_CUDA_MODULE_DIR);
  REQUIRE(!devices.empty());
  CHECK_FALSE(devices[0].name.empty());
  CHECK(devices[0].uuid.size() == 32);
  CHECK(devices[0].pci.size() == 12);
  CHECK(devices[0].memory_bytes > 0);
  CHECK_THROWS_WITH(list_cuda_devices("/nowhere"), Contains("/nowhere/libsparrow_cuda.so"));
}
