// Dot interaction. The vectors of one sample (27 of 64 floats: 7 KB) stay in the first-level cache while all their
// products are made.
//
// Forward: products of every pair are the lower triangle of F F^T. With F transposed, kLanes columns j of it are one
// vector, and
//   G[i][j..j+kLanes) = sum over d of F[i][d] * FT[d][j..j+kLanes)
// has no sums across lanes. Backward: with G the symmetric matrix of the pairs' gradients (0 on the diagonal), dF = G
// F. Both are small matrix products whose accumulators are registers.
#include <algorithm>

#include "base/error.hpp"
#include "kernels/host/host_backend.hpp"
#include "kernels/host/lanes.hpp"
#include "kernels/host/numbers.hpp"
#include "kernels/host/parallel.hpp"

namespace sparrow::host {
namespace {

constexpr int64_t kGrainSamples = 32;

/// Sizes of one sample, and where one thread's scratch has what.
struct Shape {
  int64_t vectors;         // V
  int64_t dim;             // D
  int64_t padded_vectors;  // V and D in whole vectors of the processor
  int64_t padded_dim;

  Shape(int64_t vectors_, int64_t dim_)
      : vectors(vectors_), dim(dim_), padded_vectors(whole_lanes(vectors_)), padded_dim(whole_lanes(dim_)) {}

  int64_t pairs() const { return vectors * (vectors - 1) / 2; }
  int64_t features_size() const { return vectors * padded_dim; }
  int64_t transposed_size() const { return padded_dim * padded_vectors; }
  int64_t gram_size() const { return padded_vectors * padded_vectors; }
  int64_t z_size() const { return whole_lanes(dim + pairs()) + kLanes; }
  int64_t scratch_size() const {
    return whole_lanes(features_size() + std::max(transposed_size(), features_size()) + gram_size() + z_size());
  }
};

/// One thread's working memory.
struct Workspace {
  float* features;    // (V, padded D), used when D is not whole vectors
  float* transposed;  // forward: (padded D, padded V); backward: gradients (V, padded D)
  float* gram;        // (padded V, padded V)
  float* z;           // (D + pairs), and kLanes more that may be read and written

  Workspace(const Shape& shape, float* memory)
      : features(memory),
        transposed(features + shape.features_size()),
        gram(transposed + std::max(shape.transposed_size(), shape.features_size())),
        z(gram + shape.gram_size()) {}
};

/// A sample's vectors with rows of whole vectors: in place, or copied and filled up with zeros.
struct Sample {
  const float* data;
  int64_t stride;
};

Sample padded_sample(const Shape& shape, const Matrix& features, int64_t sample, float* copy) {
  const float* first = row_of<const float>(features, sample * shape.vectors);
  if (shape.dim == shape.padded_dim) return {first, features.stride};
  for (int64_t i = 0; i < shape.vectors; ++i) {
    float* end = std::copy_n(first + i * features.stride, shape.dim, copy + i * shape.padded_dim);
    std::fill(end, copy + (i + 1) * shape.padded_dim, 0.0f);
  }
  return {copy, shape.padded_dim};
}

/// Asks for the vectors of a sample that is to come.
void prefetch_sample(const Shape& shape, const Matrix& features, int64_t sample) {
  if (sample * shape.vectors >= features.rows) return;
  for (int64_t i = 0; i < shape.vectors; ++i) {
    const float* row = row_of<const float>(features, sample * shape.vectors + i);
    for (int64_t d = 0; d < shape.dim; d += 16) __builtin_prefetch(row + d);
  }
}

void transpose_sample(const Shape& shape, const Sample& f, float* transposed) {
  for (int64_t i = 0; i < shape.vectors; i += kLanes) {
    for (int64_t d = 0; d < shape.dim; d += kLanes) {
      Lanes square[kLanes];
      for (int row = 0; row < kLanes; ++row) {
        square[row] = i + row < shape.vectors ? load(f.data + (i + row) * f.stride + d) : Lanes{};
      }
      transpose(square);
      for (int row = 0; row < kLanes; ++row) store(transposed + (d + row) * shape.padded_vectors + i, square[row]);
    }
  }
}

/// gram = the rows of F F^T; of row i at least the columns below i.
[[gnu::flatten]] void gram_matrix(const Shape& shape, const float* transposed, float* gram) {
  for (int64_t column = 0; column < shape.vectors; column += kLanes) {
    for_row_blocks<13>(column + 1, shape.vectors, [&](int64_t first, auto count) {
      constexpr int kRows = count();
      Lanes sums[kRows] = {};
      for (int64_t d = 0; d < shape.dim; ++d) {
        const float* values = transposed + d * shape.padded_vectors;
        const Lanes others = load(values + column);
        unrolled<kRows>([&](int r) { sums[r] += values[first + r] * others; });
      }
      unrolled<kRows>([&](int r) { store(gram + (first + r) * shape.padded_vectors + column, sums[r]); });
    });
  }
}

/// z = the dense vector, then the rows of the lower triangle one after the other. Whole vectors are written; what is
/// too much of one row is overwritten by the next.
void pack_triangle(const Shape& shape, const Sample& f, const float* gram, float* z) {
  for (int64_t d = 0; d < shape.dim; d += kLanes) store(z + d, load(f.data + d));
  float* row = z + shape.dim;
  for (int64_t i = 1; i < shape.vectors; ++i) {
    for (int64_t j = 0; j < i; j += kLanes) store(row + j, load(gram + i * shape.padded_vectors + j));
    row += i;
  }
}

/// gram = the symmetric matrix whose lower triangle is `pairs`, zero on the diagonal. Squares of kLanes x kLanes below
/// the diagonal are transposed to their places above it; on the diagonal a square is added to its transpose. Reads up
/// to kLanes beyond the pairs.
void unpack_triangle(const Shape& shape, const float* pairs, float* gram) {
  const int64_t stride = shape.padded_vectors;
  for (int64_t top = 0; top < shape.vectors; top += kLanes) {
    for (int64_t left = 0; left <= top; left += kLanes) {
      Lanes below[kLanes], above[kLanes];
      for (int r = 0; r < kLanes; ++r) {
        const int64_t i = top + r;
        below[r] =
            i < shape.vectors && left < i ? first_lanes(load(pairs + i * (i - 1) / 2 + left), i - left) : Lanes{};
        above[r] = below[r];
      }
      transpose(above);
      for (int r = 0; r < kLanes; ++r) {
        store(gram + (top + r) * stride + left, left == top ? below[r] + above[r] : below[r]);
        if (left < top) store(gram + (left + r) * stride + top, above[r]);
      }
    }
  }
}

/// Where the gradients of a sample's vectors go: the dense one, and the others `stride` apart.
struct GradientRows {
  float* dense;
  float* others;
  int64_t stride;

  float* row(int64_t i) const { return i == 0 ? dense : others + (i - 1) * stride; }
};

/// Columns [column, column + Vectors * kLanes) of dF = G F.
template <int Vectors, int Rows>
[[gnu::flatten]] void multiply_columns(const Shape& shape, const Sample& f, const float* gram, int64_t column,
                                       const GradientRows& gradients) {
  for_row_blocks<Rows>(0, shape.vectors, [&](int64_t first, auto count) {
    constexpr int kRows = count();
    Lanes sums[kRows][Vectors] = {};
    for (int64_t j = 0; j < shape.vectors; ++j) {
      Lanes values[Vectors];
      unrolled<Vectors>([&](int v) { values[v] = load(f.data + j * f.stride + column + v * kLanes); });
      unrolled<kRows>([&](int r) {
        const float gradient = gram[j * shape.padded_vectors + first + r];  // symmetric: row j is column j
        unrolled<Vectors>([&](int v) { sums[r][v] += gradient * values[v]; });
      });
    }
    unrolled<kRows>([&](int r) {
      float* to = gradients.row(first + r) + column;
      unrolled<Vectors>([&](int v) { store(to + v * kLanes, sums[r][v]); });
    });
  });
}

void multiply_features(const Shape& shape, const Sample& f, const float* gram, const GradientRows& gradients) {
  constexpr int kFour = kLanes == 16 ? 6 : 3;  // rows x vectors of accumulators: 24 of 32 registers, 12 of 16
  constexpr int kTwo = kLanes == 16 ? 9 : 5;
  constexpr int kOne = kLanes == 16 ? 14 : 9;
  int64_t column = 0;
  for (; column + 4 * kLanes <= shape.padded_dim; column += 4 * kLanes) {
    multiply_columns<4, kFour>(shape, f, gram, column, gradients);
  }
  for (; column + 2 * kLanes <= shape.padded_dim; column += 2 * kLanes) {
    multiply_columns<2, kTwo>(shape, f, gram, column, gradients);
  }
  if (column < shape.padded_dim) multiply_columns<1, kOne>(shape, f, gram, column, gradients);
}

Shape check_shape(const char* operation, const Matrix& features, int64_t vectors, const Matrix& z) {
  const Shape shape(vectors, features.cols);
  SPARROW_CHECK(vectors >= 1 && features.type == DType::f32 && features.rows == z.rows * vectors &&
                    z.cols == shape.dim + shape.pairs(),
                "{}: features ({}, {}) of {} vectors, z ({}, {})", operation, features.rows, features.cols, vectors,
                z.rows, z.cols);
  return shape;
}

}  // namespace

void HostBackend::interaction_forward(Stream& stream, const Matrix& features, int64_t vectors, const Matrix& z) {
  const Shape shape = check_shape("interaction_forward", features, vectors, z);
  const int parts = part_count(threads_, z.rows, kGrainSamples);
  float* memory = host_stream(stream).interaction.take<float>(parts * shape.scratch_size());
  with_type(z.type, [&](auto z_zero) {
    using Z = decltype(z_zero);
    parallel_parts(threads_, parts, [&](int part) {
      const Workspace work(shape, memory + part * shape.scratch_size());
      for (int64_t s = part_begin(z.rows, part, parts); s < part_begin(z.rows, part + 1, parts); ++s) {
        const Sample f = padded_sample(shape, features, s, work.features);
        transpose_sample(shape, f, work.transposed);
        prefetch_sample(shape, features, s + 1);
        gram_matrix(shape, work.transposed, work.gram);
        pack_triangle(shape, f, work.gram, work.z);
        Z* out = row_of<Z>(z, s);
#pragma omp simd
        for (int64_t i = 0; i < z.cols; ++i) out[i] = from_float<Z>(work.z[i]);
      }
    });
  });
}

void HostBackend::interaction_backward(Stream& stream, const Matrix& features, int64_t vectors, const Matrix& dz,
                                       const Matrix& ddense, const Matrix& dbags) {
  const Shape shape = check_shape("interaction_backward", features, vectors, dz);
  const int64_t b = dz.rows;
  SPARROW_CHECK(ddense.rows == b && ddense.cols == shape.dim && dbags.type == DType::f32 &&
                    dbags.rows == (vectors - 1) * b && dbags.cols == shape.dim,
                "interaction_backward: {} samples of {} vectors of {}, ddense ({}, {}), dbags ({}, {})", b, vectors,
                shape.dim, ddense.rows, ddense.cols, dbags.rows, dbags.cols);
  const int parts = part_count(threads_, b, kGrainSamples);
  const bool in_place = shape.dim == shape.padded_dim;
  float* memory = host_stream(stream).interaction.take<float>(parts * shape.scratch_size());

  const auto run_part = [&](int part, auto dz_zero, auto ddense_zero) {
    using Dz = decltype(dz_zero);
    using Ddense = decltype(ddense_zero);
    const Workspace work(shape, memory + part * shape.scratch_size());
    for (int64_t s = part_begin(b, part, parts); s < part_begin(b, part + 1, parts); ++s) {
      const Sample f = padded_sample(shape, features, s, work.features);
      const Dz* gradient = row_of<const Dz>(dz, s);
#pragma omp simd
      for (int64_t i = 0; i < dz.cols; ++i) work.z[i] = to_float(gradient[i]);
      prefetch_sample(shape, features, s + 1);
      unpack_triangle(shape, work.z + shape.dim, work.gram);
      const auto bag_row = [&](int64_t i) { return row_of<float>(dbags, (i - 1) * b + s); };
      const GradientRows in_dbags{work.transposed, bag_row(1), b * dbags.stride};
      const GradientRows aside{work.transposed, work.transposed + shape.padded_dim, shape.padded_dim};
      multiply_features(shape, f, work.gram, in_place ? in_dbags : aside);
      Ddense* dense = row_of<Ddense>(ddense, s);
#pragma omp simd
      for (int64_t d = 0; d < shape.dim; ++d) {
        dense[d] = from_float<Ddense>(f.data[d] <= 0.0f ? 0.0f : work.transposed[d] + work.z[d]);
      }
      for (int64_t i = 1; i < vectors && !in_place; ++i) {
        std::copy_n(work.transposed + i * shape.padded_dim, shape.dim, bag_row(i));
      }
    }
  };
  with_type(dz.type, [&](auto dz_zero) {
    with_type(ddense.type, [&](auto ddense_zero) {
      parallel_parts(threads_, parts, [&](int part) { run_part(part, dz_zero, ddense_zero); });
    });
  });
}

}  // namespace sparrow::host
