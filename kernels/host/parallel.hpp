// Splits a loop over contiguous ranges, one per thread. The split depends only on the sizes, so sums repeat bit for
// bit.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sparrow::host {

/// How many ranges parallel_ranges makes of n items: one per thread, but each of at least `grain` items.
inline int part_count(int threads, int64_t n, int64_t grain) {
  return static_cast<int>(std::clamp<int64_t>(n / std::max<int64_t>(grain, 1), 1, threads));
}

/// The first item of part `part` of `parts`; part + 1 gives its end.
inline int64_t part_begin(int64_t n, int part, int parts) {
  return n * part / parts;
}

/// Calls body(part) for every part, each on its own thread of a team of `threads`: always the whole team, because
/// libgomp ends and makes threads when teams differ in size. A single part runs in the calling thread with no OpenMP
/// region, which keeps ranks that are threads of one process apart. body must not throw.
template <class Body>
void parallel_parts(int threads, int parts, const Body& body) {
  if (parts <= 1) {
    body(0);
    return;
  }
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int part = 0; part < parts; ++part) body(part);
}

/// Calls body(begin, end) for ranges that cover [0, n). body must not throw.
template <class Body>
void parallel_ranges(int threads, int64_t n, int64_t grain, const Body& body) {
  if (n <= 0) return;
  const int parts = part_count(threads, n, grain);
  parallel_parts(threads, parts, [&](int part) { body(part_begin(n, part, parts), part_begin(n, part + 1, parts)); });
}

}  // namespace sparrow::host
