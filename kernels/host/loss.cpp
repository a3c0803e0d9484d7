// Binary cross-entropy with logits.
#include <cmath>

#include "base/error.hpp"
#include "kernels/host/host_backend.hpp"
#include "kernels/host/numbers.hpp"
#include "kernels/host/parallel.hpp"

namespace sparrow::host {

void HostBackend::loss(Stream& stream, const float* logits, const float* labels, int64_t b, float scale,
                       const Matrix& dlogits, double* loss_sum) {
  SPARROW_CHECK(!dlogits.data || (dlogits.rows == b && dlogits.cols == 1), "loss: gradient ({}, {}) of {} logits",
                dlogits.rows, dlogits.cols, b);
  const int parts = part_count(threads_, b, 1 << 10);
  double* sums = host_stream(stream).partial_sums.take<double>(parts);
  with_type(dlogits.type, [&](auto type_zero) {
    using T = decltype(type_zero);
    parallel_parts(threads_, parts, [&](int part) {
      double sum = 0;
      for (int64_t i = part_begin(b, part, parts); i < part_begin(b, part + 1, parts); ++i) {
        const double x = logits[i];
        const double label = labels[i];
        const double decay = std::exp(-std::abs(x));  // in [0, 1]: nothing overflows
        sum += std::max(x, 0.0) + std::log1p(decay) - label * x;
        const double sigmoid = (x >= 0 ? 1.0 : decay) / (1.0 + decay);
        if (dlogits.data) *row_of<T>(dlogits, i) = from_float<T>(static_cast<float>(scale * (sigmoid - label)));
      }
      sums[part] = sum;
    });
  });
  *loss_sum = 0;
  for (int part = 0; part < parts; ++part) *loss_sum += sums[part];
}

}  // namespace sparrow::host
