#include "kernels/host/gemm.hpp"

#include <omp.h>

#include <array>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "base/error.hpp"
#include "kernels/host/convert.hpp"
#include "kernels/host/scratch.hpp"

namespace sparrow::host {
namespace {

using dnnl::memory;

constexpr size_t kMostProducts = 512;  // memory stays bounded however many shapes come by

memory::data_type type_of(DType type) {
  return type == DType::f32 ? memory::data_type::f32 : memory::data_type::bf16;
}

memory::desc describe(const Factor& factor) {
  const int64_t stride = factor.matrix.stride;
  return {{factor.rows(), factor.cols()},
          type_of(factor.matrix.type),
          factor.transposed ? memory::dims{1, stride} : memory::dims{stride, 1}};
}

bool dense(const Matrix& matrix) {
  return matrix.stride == matrix.cols;
}

/// oneDNN takes the number of threads of the calling thread, when it prepares a product and when it runs it.
class ThreadCount {
 public:
  explicit ThreadCount(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~ThreadCount() { omp_set_num_threads(before_); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  const int before_;
};

/// A prepared product. The handles in `arguments` are those of the memories beside it.
struct Product {
  dnnl::primitive primitive;
  std::unordered_map<int, memory> arguments;
  memory a, b, bias, c, scratchpad;
  dnnl::reorder pack;  // b into packed_b, where the product wants it in another order than it has
  memory packed_b;
  bool packs = false;
};

int64_t bytes_of(const memory& block) {
  return static_cast<int64_t>(block.get_desc().get_size());
}

}  // namespace

struct Gemm::Cache {
  // Everything a prepared product depends on: threads, sizes, strides, transposes, types, bias.
  using Key = std::array<int64_t, 11>;

  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Key, Product> products;
  Scratch scratchpad, packed_b;
  const bool multiplies_bf16 = can_multiply_bf16();
  Scratch wide_a, wide_b, wide_c;  // in fp32, where it does not

  memory place(const memory::desc& desc) const { return {desc, engine, nullptr}; }

  static dnnl::primitive_attr attributes() {
    dnnl::primitive_attr result;
    result.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return result;
  }

  /// Forward and input gradients: the weights (b) are first brought into the order oneDNN likes best, which costs less
  /// than it saves.
  Product prepare_matmul(const Factor& a, const Factor& b, bool with_bias, const Matrix& c) const {
    memory::desc free_b({b.rows(), b.cols()}, type_of(b.matrix.type), memory::format_tag::any);
    if (a.transposed) free_b = describe(b);
    const memory::desc bias({1, c.cols}, memory::data_type::f32, memory::format_tag::ab);
    const memory::desc c_desc = describe({c, false});
    const auto operation = with_bias ? dnnl::matmul::desc(describe(a), free_b, bias, c_desc)
                                     : dnnl::matmul::desc(describe(a), free_b, c_desc);
    const dnnl::matmul::primitive_desc chosen(operation, attributes(), engine);
    Product product;
    product.primitive = dnnl::matmul(chosen);
    product.a = place(chosen.src_desc());
    product.b = place(describe(b));
    product.c = place(chosen.dst_desc());
    product.scratchpad = place(chosen.scratchpad_desc());
    product.packs = chosen.weights_desc() != product.b.get_desc();
    if (product.packs) {
      product.packed_b = place(chosen.weights_desc());
      product.pack = dnnl::reorder(product.b, product.packed_b);
    }
    product.arguments = {{DNNL_ARG_SRC, product.a},
                         {DNNL_ARG_WEIGHTS, product.packs ? product.packed_b : product.b},
                         {DNNL_ARG_DST, product.c},
                         {DNNL_ARG_SCRATCHPAD, product.scratchpad}};
    if (with_bias) {
      product.bias = place(chosen.bias_desc());
      product.arguments.emplace(DNNL_ARG_BIAS, product.bias);
    }
    return product;
  }

  /// Weight gradients of dense bf16 matrices, c = a b with a = dy^T: up to 1.4 times as fast as the same product as a
  /// matmul.
  Product prepare_weight_gradient(const Factor& a, const Factor& b, const Matrix& c) const {
    using dnnl::inner_product_backward_weights;
    using dnnl::inner_product_forward;
    const memory::desc x = describe(b), dy = describe({a.matrix, false}), dw = describe({c, false});
    const memory::desc w(dw.dims(), x.data_type(), memory::format_tag::any);
    const inner_product_forward::primitive_desc forward({dnnl::prop_kind::forward_training, x, w, dy}, engine);
    const inner_product_backward_weights::primitive_desc chosen({x, dw, dy}, attributes(), engine, forward);
    Product product;
    product.primitive = inner_product_backward_weights(chosen);
    product.a = place(dy);
    product.b = place(x);
    product.c = place(dw);
    product.scratchpad = place(chosen.scratchpad_desc());
    product.arguments = {{DNNL_ARG_DIFF_DST, product.a},
                         {DNNL_ARG_SRC, product.b},
                         {DNNL_ARG_DIFF_WEIGHTS, product.c},
                         {DNNL_ARG_SCRATCHPAD, product.scratchpad}};
    return product;
  }

  /// oneDNN's products of bf16 want AVX-512.
  bool can_multiply_bf16() const {
    const memory::desc square({16, 16}, memory::data_type::bf16, memory::format_tag::ab);
    const dnnl::matmul::desc operation(square, square, square);
    return static_cast<bool>(dnnl::matmul::primitive_desc(operation, attributes(), engine, true));
  }

  Product prepare(const Factor& a, const Factor& b, bool with_bias, const Matrix& c) const {
    try {
      const bool weight_gradient = a.transposed && !b.transposed && !with_bias && c.type == DType::f32;
      return weight_gradient && dense(a.matrix) && dense(b.matrix) && dense(c) ? prepare_weight_gradient(a, b, c)
                                                                               : prepare_matmul(a, b, with_bias, c);
    } catch (const dnnl::error& error) {
      fail("oneDNN prepares no product ({}, {}) ({}, {}): {}", a.rows(), a.cols(), b.rows(), b.cols(), error.what());
    }
  }

  void run(Product& product) {
    product.scratchpad.set_data_handle(scratchpad.take<std::byte>(bytes_of(product.scratchpad)));
    if (product.packs) {
      product.packed_b.set_data_handle(packed_b.take<std::byte>(bytes_of(product.packed_b)));
      product.pack.execute(stream, product.b, product.packed_b);
    }
    product.primitive.execute(stream, product.arguments);
  }
};

Gemm::Gemm() : cache_(std::make_unique<Cache>()) {}
Gemm::~Gemm() = default;

namespace {

/// The matrix in fp32, in memory of `scratch`.
Matrix widened(int threads, const Matrix& matrix, Scratch& scratch) {
  const Matrix wide = Matrix::f32(scratch.take<float>(matrix.rows * matrix.cols), matrix.rows, matrix.cols);
  convert_matrix(threads, matrix, wide);
  return wide;
}

}  // namespace

/// The same sums on processors that multiply no bf16: products of two such numbers are exact in fp32.
void Gemm::multiply_widened(int threads, const Factor& a, const Factor& b, const float* bias, const Matrix& c) {
  const Factor wide_a{widened(threads, a.matrix, cache_->wide_a), a.transposed};
  const Factor wide_b{widened(threads, b.matrix, cache_->wide_b), b.transposed};
  if (c.type == DType::f32) return multiply(threads, wide_a, wide_b, bias, c);
  const Matrix sums = Matrix::f32(cache_->wide_c.take<float>(c.rows * c.cols), c.rows, c.cols);
  multiply(threads, wide_a, wide_b, bias, sums);
  convert_matrix(threads, sums, c);
}

void Gemm::multiply(int threads, const Factor& a, const Factor& b, const float* bias, const Matrix& c) {
  SPARROW_CHECK(a.cols() == b.rows() && a.rows() == c.rows && b.cols() == c.cols,
                "product ({}, {}) ({}, {}) into ({}, {})", a.rows(), a.cols(), b.rows(), b.cols(), c.rows, c.cols);
  if (a.matrix.type == DType::bf16 && !cache_->multiplies_bf16) return multiply_widened(threads, a, b, bias, c);
  const ThreadCount thread_count(threads);
  if (a.transposed && !b.transposed && a.matrix.type == DType::f32 && !bias) {
    // Sums over the batch: here the plain routine is the fastest, and needs no preparation.
    const auto status = dnnl_sgemm('T', 'N', c.rows, c.cols, a.cols(), 1.0f, a.matrix.f32(), a.matrix.stride,
                                   b.matrix.f32(), b.matrix.stride, 0.0f, c.f32(), c.stride);
    if (status != dnnl_success) fail("oneDNN multiplies no ({}, {}) ({}, {})", a.rows(), a.cols(), b.rows(), b.cols());
    return;
  }
  const Cache::Key key{threads,
                       a.rows(),
                       a.cols(),
                       c.cols,
                       a.matrix.stride,
                       b.matrix.stride,
                       c.stride,
                       (a.transposed ? 1 : 0) + (b.transposed ? 2 : 0),
                       static_cast<int64_t>(a.matrix.type),
                       static_cast<int64_t>(c.type),
                       bias ? 1 : 0};
  auto found = cache_->products.find(key);
  if (found == cache_->products.end()) {
    if (cache_->products.size() >= kMostProducts) cache_->products.clear();
    found = cache_->products.emplace(key, cache_->prepare(a, b, bias != nullptr, c)).first;
  }
  Product& product = found->second;
  product.a.set_data_handle(a.matrix.data);
  product.b.set_data_handle(b.matrix.data);
  product.c.set_data_handle(c.data);
  if (bias) product.bias.set_data_handle(const_cast<float*>(bias));
  cache_->run(product);
}

}  // namespace sparrow::host
