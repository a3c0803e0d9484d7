// Initial values of rows: a pure function of seed, stream, row id and element.
#include "base/error.hpp"
#include "base/random.hpp"
#include "kernels/host/host_backend.hpp"
#include "kernels/host/parallel.hpp"

namespace sparrow::host {
namespace {

/// Uniform in (-bound, bound): 2 u - 1 is exact.
inline float scaled(uint32_t word, float bound) {
  return (2.0f * uniform_float(word) - 1.0f) * bound;
}

}  // namespace

void HostBackend::init_rows(Stream&, uint64_t seed, uint32_t stream_id, const int64_t* ids, int64_t n, int64_t dim,
                            float bound, float* values) {
  SPARROW_CHECK(n >= 0 && dim >= 0, "init_rows: {} rows of {}", n, dim);
  parallel_ranges(threads_, n, 512, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto id = static_cast<uint64_t>(ids[i]);
      float* row = values + i * dim;
#pragma omp simd
      for (int64_t block = 0; block < dim / 4; ++block) {
        const Philox4 words = random_words(seed, stream_id, id, static_cast<uint32_t>(block));
        row[4 * block] = scaled(words.v[0], bound);
        row[4 * block + 1] = scaled(words.v[1], bound);
        row[4 * block + 2] = scaled(words.v[2], bound);
        row[4 * block + 3] = scaled(words.v[3], bound);
      }
      const Philox4 words = random_words(seed, stream_id, id, static_cast<uint32_t>(dim / 4));
      for (int64_t e = dim / 4 * 4; e < dim; ++e) row[e] = scaled(words.v[e % 4], bound);
    }
  });
}

}  // namespace sparrow::host
