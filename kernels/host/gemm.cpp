#include "kernels/host/gemm.hpp"

#include <omp.h>

#include <array>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>

#include "base/error.hpp"
#include "kernels/host/scratch.hpp"

namespace sparrow::host {
namespace {

using dnnl::memory;

memory::data_type type_of(DType type) {
  return type == DType::f32 ? memory::data_type::f32 : memory::data_type::bf16;
}

memory::desc describe(const Factor& factor) {
  const int64_t stride = factor.matrix.stride;
  return {{factor.rows(), factor.cols()},
          type_of(factor.matrix.type),
          factor.transposed ? memory::dims{1, stride} : memory::dims{stride, 1}};
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

struct Product {
  dnnl::matmul primitive;
  memory a, b, c, bias, scratchpad;
  int64_t scratchpad_bytes = 0;
};

}  // namespace

struct Gemm::Cache {
  // Everything a prepared product depends on: threads, sizes, strides, types, transposes, bias.
  using Key = std::array<int64_t, 12>;

  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Key, Product> products;
  Scratch scratchpad;

  Product prepare(const Factor& a, const Factor& b, bool with_bias, const Matrix& c) const {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const memory::desc bias({1, c.cols}, memory::data_type::f32, memory::format_tag::ab);
    const auto c_desc = describe({c, false});
    const auto operation = with_bias ? dnnl::matmul::desc(describe(a), describe(b), bias, c_desc)
                                     : dnnl::matmul::desc(describe(a), describe(b), c_desc);
    const dnnl::matmul::primitive_desc chosen(operation, attributes, engine);
    Product product;
    product.primitive = dnnl::matmul(chosen);
    product.a = memory(chosen.src_desc(), engine, nullptr);
    product.b = memory(chosen.weights_desc(), engine, nullptr);
    product.c = memory(chosen.dst_desc(), engine, nullptr);
    if (with_bias) product.bias = memory(chosen.bias_desc(), engine, nullptr);
    product.scratchpad = memory(chosen.scratchpad_desc(), engine, nullptr);
    product.scratchpad_bytes = static_cast<int64_t>(chosen.scratchpad_desc().get_size());
    return product;
  }
};

Gemm::Gemm() : cache_(std::make_unique<Cache>()) {}
Gemm::~Gemm() = default;

void Gemm::multiply(int threads, const Factor& a, const Factor& b, const float* bias, const Matrix& c) {
  const ThreadCount thread_count(threads);
  const Cache::Key key{threads,
                       a.rows(),
                       a.cols(),
                       c.cols,
                       a.matrix.stride,
                       b.matrix.stride,
                       c.stride,
                       a.transposed + 2 * b.transposed,
                       int64_t(a.matrix.type),
                       int64_t(c.type),
                       bias != nullptr,

                       int64_t(b.matrix.type)};
  auto found = cache_->products.find(key);
  if (found == cache_->products.end()) {
    found = cache_->products.emplace(key, cache_->prepare(a, b, bias != nullptr, c)).first;
  }
  Product& product = found->second;
  product.a.set_data_handle(a.matrix.data);
  product.b.set_data_handle(b.matrix.data);
  product.c.set_data_handle(c.data);
  product.scratchpad.set_data_handle(cache_->scratchpad.take<std::byte>(product.scratchpad_bytes));
  std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, product.a},
                                            {DNNL_ARG_WEIGHTS, product.b},
                                            {DNNL_ARG_DST, product.c},
                                            {DNNL_ARG_SCRATCHPAD, product.scratchpad}};
  if (bias) {
    product.bias.set_data_handle(const_cast<float*>(bias));
    arguments.emplace(DNNL_ARG_BIAS, product.bias);
  }
  product.primitive.execute(cache_->stream, arguments);
}

}  // namespace sparrow::host
