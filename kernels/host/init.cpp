// Initial values of rows: a pure function of seed, stream, row id and element.
#include <algorithm>

#include "base/error.hpp"
#include "base/random.hpp"
#include "kernels/host/host_backend.hpp"
#include "kernels/host/parallel.hpp"

namespace sparrow::host {

void HostBackend::init_rows(Stream&, uint64_t seed, uint32_t stream_id, const int64_t* ids, int64_t n, int64_t dim,
                            float bound, float* values) {
  SPARROW_CHECK(n >= 0 && dim >= 0, "init_rows: {} rows of {}", n, dim);
  parallel_ranges(threads_, n, 512, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* row = values + i * dim;
      for (int64_t element = 0; element < dim; element += 4) {
        const Philox4 words =
            random_words(seed, stream_id, static_cast<uint64_t>(ids[i]), static_cast<uint32_t>(element / 4));
        const int64_t count = std::min<int64_t>(4, dim - element);
        for (int64_t e = 0; e < count; ++e) row[element + e] = (2.0f * uniform_float(words.v[e]) - 1.0f) * bound;
      }
    }
  });
}

}  // namespace sparrow::host
