// Construction, copies and conversions.
#include "kernels/host/host_backend.hpp"

#include <cstring>

#include "base/error.hpp"
#include "base/subnormals.hpp"
#include "kernels/host/convert.hpp"
#include "kernels/host/parallel.hpp"

namespace sparrow {

std::unique_ptr<Backend> make_host_backend(int threads) {
  return std::make_unique<host::HostBackend>(threads);
}

namespace host {
namespace {

constexpr int64_t kGrainBytes = 1 << 16;

}  // namespace

HostBackend::HostBackend(int threads) : threads_(threads) {
  // The kernels are compiled for one kind of processor; on a lesser one, say so instead of dying of an illegal
  // instruction.
#ifdef __AVX512F__
  if (!__builtin_cpu_supports("avx512f"))
    fail("the host kernels are built for AVX-512, which this processor lacks: build with SPARROW_NATIVE=OFF");
#endif
  if (!__builtin_cpu_supports("avx2")) fail("the host kernels need AVX2, which this processor lacks");
  SPARROW_CHECK(SubnormalMode::here() == Subnormals::flush, "main() sets no SubnormalMode before it computes");
  SPARROW_CHECK(threads >= 1, "the host backend needs at least one thread, not {}", threads);
}

void HostBackend::copy(Stream&, void* to, const void* from, int64_t bytes) {
  SPARROW_CHECK(bytes >= 0, "copy: {} bytes", bytes);
  auto* target = static_cast<std::byte*>(to);
  const auto* source = static_cast<const std::byte*>(from);
  parallel_ranges(threads_, bytes, kGrainBytes,
                  [=](int64_t begin, int64_t end) { std::memcpy(target + begin, source + begin, end - begin); });
}

void HostBackend::zero(Stream&, void* data, int64_t bytes) {
  SPARROW_CHECK(bytes >= 0, "zero: {} bytes", bytes);
  auto* target = static_cast<std::byte*>(data);
  parallel_ranges(threads_, bytes, kGrainBytes,
                  [=](int64_t begin, int64_t end) { std::memset(target + begin, 0, end - begin); });
}

void HostBackend::convert(Stream&, const Matrix& from, const Matrix& to) {
  SPARROW_CHECK(from.rows == to.rows && from.cols == to.cols, "convert: ({}, {}) to ({}, {})", from.rows, from.cols,
                to.rows, to.cols);
  convert_matrix(threads_, from, to);
}

}  // namespace host
}  // namespace sparrow
