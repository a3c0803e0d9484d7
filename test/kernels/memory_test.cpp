// Memory, copies and conversions of a backend.
#include "base/error.hpp"
#include "test/kernels/harness.hpp"

using namespace sparrow;
using namespace sparrow::test;

TEST_CASE("Allocations are aligned to 64 bytes and writable from end to end") {
  on_every_backend([](const Harness& h) {
    for (const Memory memory : {Memory::device, Memory::pinned, Memory::host}) {
      for (const int64_t bytes : {int64_t{1}, int64_t{63}, int64_t{4096}, int64_t{3} << 20}) {
        const Buffer buffer(h.backend(), memory, bytes);
        CHECK(reinterpret_cast<uintptr_t>(buffer.data()) % 64 == 0);
        h.backend().zero(h.stream(), buffer.data(), bytes);
        h.backend().synchronize(h.stream());
      }
    }
  });
}

TEST_CASE("An empty allocation is null, an impossible one throws an error that names its size") {
  on_every_backend([](const Harness& h) {
    CHECK(h.backend().allocate(Memory::device, 0) == nullptr);
    CHECK_THROWS_AS(h.backend().allocate(Memory::device, -1), Error);
    const int64_t too_many = int64_t{1} << 62;
    CHECK_THROWS_WITH(h.backend().allocate(Memory::device, too_many), Catch::Contains(std::to_string(too_many)));
    CHECK_THROWS_AS(h.backend().allocate(Memory::host, INT64_MAX), Error);
  });
}

TEST_CASE("A backend without threads is refused") {
  CHECK_THROWS_AS(make_host_backend(0), Error);
  CHECK_THROWS_AS(make_host_backend(-2), Error);
}

TEST_CASE("Bytes copied between any two memories arrive, and zero clears exactly its range") {
  on_every_backend([](const Harness& h) {
    for (const int64_t n : {1, 7, 1000, 300000}) {
      std::vector<uint8_t> bytes;
      for (int64_t i = 0; i < n; ++i) bytes.push_back(static_cast<uint8_t>(i * 7 + 3));
      const Array<uint8_t> device = h.upload(bytes);
      const Array<uint8_t> pinned(h.backend(), Memory::pinned, n);
      const Array<uint8_t> again(h.backend(), Memory::device, n);
      h.backend().copy(h.stream(), pinned.data(), device.data(), n);
      h.backend().copy(h.stream(), again.data(), pinned.data(), n);
      CHECK(h.download(again, n) == bytes);
      h.backend().zero(h.stream(), again.data(), n / 2);
      std::fill(bytes.begin(), bytes.begin() + n / 2, uint8_t{0});
      CHECK(h.download(again, n) == bytes);
    }
  });
}

TEST_CASE("Work on a stream that waits for another's event sees what was queued before it") {
  on_every_backend([](const Harness& h) {
    const Array<float> a = h.upload(std::vector<float>(1000, 2.5f));
    const Array<float> b = h.poisoned<float>(1000);
    const Array<float> c = h.poisoned<float>(1000);
    const auto other = h.backend().make_stream();
    const auto event = h.backend().make_event();
    h.backend().copy(h.stream(), b.data(), a.data(), 4000);
    h.backend().record(*event, h.stream());
    h.backend().wait(*other, *event);
    h.backend().copy(*other, c.data(), b.data(), 4000);
    h.backend().synchronize(*event);
    h.backend().synchronize(*other);
    CHECK(h.download(c, 1000) == std::vector<float>(1000, 2.5f));
  });
}

TEST_CASE("Every bf16 number becomes the same fp32 number and back") {
  on_every_backend([](const Harness& h) {
    std::vector<uint16_t> all(65536);
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
    const Array<uint16_t> from = h.upload(all);
    const Array<float> wide = h.poisoned<float>(65536);
    const Array<uint16_t> back = h.poisoned<uint16_t>(65536);
    h.backend().convert(h.stream(), Matrix::of(DType::bf16, from.data(), 256, 256), Matrix::f32(wide.data(), 256, 256));
    h.backend().convert(h.stream(), Matrix::f32(wide.data(), 256, 256), Matrix::of(DType::bf16, back.data(), 256, 256));
    const std::vector<uint16_t> result = h.download(back, 65536);
    int64_t wrong = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      const bool nan = std::isnan(bf16_to_float(all[i]));
      wrong += nan ? !std::isnan(bf16_to_float(result[i])) : result[i] != all[i];
    }
    CHECK(wrong == 0);
  });
}

TEST_CASE("fp32 becomes bf16 by rounding to nearest even, and infinities and NaN stay what they are") {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values{1.0f,      0x1.01p0f,   0x1.03p0f, 0x1.010002p0f, 0x1.02fffep0f,   -0x1.01p0f,
                                  0x1p-133f, 0x1.8p-134f, infinity,  -infinity,     0x1.fffffep127f, 0.0f,
                                  -0.0f};
  const std::vector<float> rounded{1.0f,      1.0f,     0x1.04p0f, 0x1.02p0f, 0x1.02p0f, -1.0f, 0x1p-133f,
                                   0x1p-133f, infinity, -infinity, infinity,  0.0f,      -0.0f};
  on_every_backend([&](const Harness& h) {
    const auto n = static_cast<int64_t>(values.size());
    const Array<float> from = h.upload(values);
    const Array<uint16_t> to = h.poisoned<uint16_t>(n);
    h.backend().convert(h.stream(), Matrix::f32(from.data(), 1, n), Matrix::of(DType::bf16, to.data(), 1, n));
    const std::vector<uint16_t> result = h.download(to, n);
    for (size_t i = 0; i < values.size(); ++i) {
      INFO(values[i]);
      CHECK(std::bit_cast<uint32_t>(bf16_to_float(result[i])) == std::bit_cast<uint32_t>(rounded[i]));
    }
    // The NaN whose bits would round up to infinity.
    const Array<float> nan =
        h.upload(std::vector<float>{std::bit_cast<float>(0x7F800001u), std::bit_cast<float>(0xFFFFFFFFu)});
    h.backend().convert(h.stream(), Matrix::f32(nan.data(), 1, 2), Matrix::of(DType::bf16, to.data(), 1, 2));
    const std::vector<uint16_t> still = h.download(to, 2);
    CHECK(std::isnan(bf16_to_float(still[0])));
    CHECK(std::isnan(bf16_to_float(still[1])));
  });
}

TEST_CASE("Conversions keep to their rows when strides differ") {
  on_every_backend([](const Harness& h) {
    for (const DType from_type : {DType::f32, DType::bf16}) {
      for (const DType to_type : {DType::f32, DType::bf16}) {
        for (const int64_t rows : {0, 1, 33}) {
          const std::vector<double> values = random_values(rows * 13, 1);
          const TestMatrix from(h, from_type, rows, 13, values, 3);
          const TestMatrix to(h, to_type, rows, 13, 5);
          h.backend().convert(h.stream(), from, to);
          CHECK(to.values() == all_stored(to_type, all_stored(from_type, values)));
        }
      }
    }
    const TestMatrix wide(h, DType::f32, 2, 3);
    const TestMatrix narrow(h, DType::f32, 2, 2);
    CHECK_THROWS_AS(h.backend().convert(h.stream(), wide, narrow), Error);
  });
}
