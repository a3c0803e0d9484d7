#include "data/parts.hpp"

#include <cmath>

#include "base/error.hpp"

namespace sparrow {

SampleRange part_of_batch(int64_t n, int rank, int ranks, std::span<const double> shares) {
  SPARROW_CHECK(n >= 0 && ranks > 0 && rank >= 0 && rank < ranks, "n = {}, rank {} of {}", n, rank, ranks);
  if (shares.empty()) return {n * rank / ranks, n * (rank + 1) / ranks};

  if (shares.size() != static_cast<size_t>(ranks)) fail("{} batch shares for {} ranks", shares.size(), ranks);
  double before = 0, total = 0;
  for (size_t r = 0; r < shares.size(); ++r) {
    if (!(shares[r] >= 0) || !std::isfinite(shares[r]))
      fail("batch share {} of rank {}: must be 0 or more", shares[r], r);
    if (r == static_cast<size_t>(rank)) before = total;
    total += shares[r];
  }
  if (!(total > 0) || !std::isfinite(total)) fail("batch shares: the sum is {}", total);
  // Multiplied before divided, so that whole shares give exact borders; the last border is n itself, whatever the
  // rounding.
  const auto border = [&](double sum) {
    return sum >= total ? n : static_cast<int64_t>(static_cast<double>(n) * sum / total);
  };
  return {border(before), border(before + shares[rank])};
}

SampleRange part_of_data(int64_t n, int64_t batch, int rank, int ranks, std::span<const double> shares) {
  const SampleRange whole = part_of_batch(batch, rank, ranks, shares);
  const SampleRange last = part_of_batch(n % batch, rank, ranks, shares);
  return {n / batch * whole.first + last.first, n / batch * whole.last + last.last};
}

}  // namespace sparrow
