#include "test/bench/step_model.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.hpp"
#include "base/random.hpp"

namespace sparrow::bench {
namespace {

constexpr int64_t kDense = 13;
constexpr int64_t kBatches = 24;  // prepared ones, taken in turn
constexpr double kZipfExponent = 1.05;
constexpr float kLearningRate = 0.01f;

// Rows per table of MLPerf's DLRM (Criteo Terabyte, ids cut at 40 million).
const std::vector<int64_t> kTableRows{40000000, 39060,    17295,    7424,     20265,  3,     7122, 1543, 63,
                                      40000000, 3067956,  405282,   10,       2209,   11938, 155,  4,    976,
                                      14,       40000000, 40000000, 40000000, 590152, 12973, 108,  36};

double uniform(uint32_t stream, int64_t index) {
  const Philox4 words = random_words(7, stream, static_cast<uint64_t>(index), 0);
  return uniform_double(words.v[0], words.v[1]);
}

/// Ranks drawn from a Zipf distribution over [0, rows).
std::vector<int64_t> zipf_ranks(int64_t rows, int64_t count, uint32_t stream) {
  std::vector<double> cumulative(rows);
  double sum = 0;
  for (int64_t rank = 0; rank < rows; ++rank) {
    sum += std::pow(static_cast<double>(rank + 1), -kZipfExponent);
    cumulative[rank] = sum;
  }
  std::vector<int64_t> ranks;
  for (int64_t i = 0; i < count; ++i) {
    const auto place = std::upper_bound(cumulative.begin(), cumulative.end(), uniform(stream, i) * sum);
    ranks.push_back(std::min<int64_t>(place - cumulative.begin(), rows - 1));
  }
  return ranks;
}

}  // namespace

StepModel::StepModel(Backend& backend, const StepOptions& options)
    : backend_(backend), options_(options), stream_(backend.make_stream()) {
  make_store();
  make_layers();
  make_batches();
}

void StepModel::make_store() {
  first_row_ = {0};
  for (const int64_t rows : kTableRows) first_row_.push_back(first_row_.back() + std::min(rows, options_.cap));
  const int64_t rows = first_row_.back();
  const int64_t dim = options_.dim;
  const int64_t state_dim =
      options_.optimizer == OptimizerKind::sgd ? 0 : (options_.optimizer == OptimizerKind::adagrad ? dim : 1);
  values_ = {backend_, Memory::device, rows * dim};
  state_ = {backend_, Memory::device, rows * state_dim};
  store_ = {values_.data(), state_.data(), rows, dim, state_dim};
  backend_.zero(*stream_, state_.data(), rows * state_dim * 4);
  const Array<int64_t> ids(backend_, Memory::device, rows);
  const Array<int64_t> host_ids(backend_, Memory::host, rows);
  std::iota(host_ids.span().begin(), host_ids.span().end(), 0);
  backend_.copy(*stream_, ids.data(), host_ids.data(), rows * 8);
  for (size_t t = 0; t < kTableRows.size(); ++t) {
    const int64_t count = first_row_[t + 1] - first_row_[t];
    backend_.init_rows(*stream_, 1, static_cast<uint32_t>(t), ids.data(), count, dim,
                       1.0f / std::sqrt(static_cast<float>(count)), values_.data() + first_row_[t] * dim);
  }
  backend_.synchronize(*stream_);
}

Matrix StepModel::rows_of(Array<std::byte>& memory, int64_t rows, int64_t cols, DType type) {
  memory = {backend_, Memory::device, rows * cols * size_of(type)};
  return Matrix::of(type, memory.data(), rows, cols);
}

std::vector<Layer> StepModel::make_mlp(int64_t in, const std::vector<int64_t>& widths, uint32_t seed) {
  std::vector<Layer> mlp;
  for (const int64_t out : widths) {
    Layer layer;
    layer.in = in;
    layer.out = out;
    layer.weights = {backend_, Memory::device, out * in};
    layer.weight_gradient = {backend_, Memory::device, out * in};
    layer.weights_bf16 = {backend_, Memory::device, out * in};
    layer.bias = {backend_, Memory::device, out};
    layer.bias_gradient = {backend_, Memory::device, out};
    const Array<int64_t> id(backend_, Memory::device, 1);
    backend_.zero(*stream_, id.data(), 8);
    backend_.init_rows(*stream_, 1, seed++, id.data(), 1, out * in, std::sqrt(6.0f / static_cast<float>(in + out)),
                       layer.weights.data());
    backend_.zero(*stream_, layer.bias.data(), out * 4);
    layer.y = rows_of(layer.output, options_.batch, out, options_.type);
    layer.dy = rows_of(layer.output_gradient, options_.batch, out, options_.type);
    mlp.push_back(std::move(layer));
    in = out;
  }
  backend_.synchronize(*stream_);
  return mlp;
}

void StepModel::make_layers() {
  const int64_t b = options_.batch, dim = options_.dim;
  const auto tables = static_cast<int64_t>(kTableRows.size());
  const int64_t z_cols = dim + (tables + 1) * tables / 2;
  bottom_ = options_.mlperf ? make_mlp(kDense, {512, 256, dim}, 100) : make_mlp(kDense, {64, dim}, 100);
  top_ = options_.mlperf ? make_mlp(z_cols, {1024, 1024, 512, 256, 1}, 200) : make_mlp(z_cols, {128, 64, 1}, 200);
  features_ = rows_of(features_memory_, b * (tables + 1), dim, DType::f32);
  z_ = rows_of(z_memory_, b, z_cols, options_.type);
  dz_ = rows_of(dz_memory_, b, z_cols, options_.type);
  ddense_ = rows_of(ddense_memory_, b, dim, options_.type);
  bottom_.back().y = Matrix::f32(features_.f32(), b, dim, (tables + 1) * dim);  // the dense vector of every sample
  bottom_.back().dy = ddense_;
  top_.back().y = rows_of(top_.back().output, b, 1, DType::f32);
  dense_typed_ = {backend_, Memory::device, b * kDense * size_of(options_.type)};
}

void StepModel::make_batches() {
  const int64_t b = options_.batch, dim = options_.dim;
  const auto tables = static_cast<int64_t>(kTableRows.size());
  const int64_t lookups = tables * b;
  Array<int64_t> keys(backend_, Memory::host, kBatches * lookups);
  for (int64_t t = 0; t < tables; ++t) {
    const int64_t rows = first_row_[t + 1] - first_row_[t];
    const auto ranks = zipf_ranks(rows, kBatches * b, static_cast<uint32_t>(t));
    // A multiplier without common factors with any of the row counts scatters neighbours.
    for (int64_t i = 0; i < kBatches * b; ++i) {
      const int64_t row = options_.by_frequency ? ranks[i] : ranks[i] * 15485863 % rows;
      keys[i / b * lookups + t * b + i % b] = first_row_[t] + row;
    }
  }
  for (int64_t t = 0; t <= tables; ++t) segments_.push_back(t * b);
  for (int64_t k = 0; k < kBatches; ++k) {
    Batch batch{
        {backend_, Memory::device, lookups}, {backend_, Memory::device, b * kDense}, {backend_, Memory::device, b}};
    backend_.copy(*stream_, batch.keys.data(), keys.data() + k * lookups, lookups * 8);
    const Array<float> dense(backend_, Memory::host, b * kDense), labels(backend_, Memory::host, b);
    for (int64_t i = 0; i < b * kDense; ++i) dense[i] = static_cast<float>(2 * uniform(1000, k * b * kDense + i) - 1);
    for (int64_t i = 0; i < b; ++i) labels[i] = uniform(1001, k * b + i) < 0.25 ? 1.0f : 0.0f;
    backend_.copy(*stream_, batch.dense.data(), dense.data(), b * kDense * 4);
    backend_.copy(*stream_, batch.labels.data(), labels.data(), b * 4);
    backend_.synchronize(*stream_);
    batches_.push_back(std::move(batch));
  }
  dbags_ = {backend_, Memory::device, lookups * dim};
  row_gradients_ = {backend_, Memory::device, lookups * dim};
  distinct_keys_ = {backend_, Memory::device, lookups};
  distinct_segments_ = {backend_, Memory::pinned, tables + 1};
  row_of_key_ = {backend_, Memory::device, lookups};
  group_offsets_ = {backend_, Memory::device, lookups + 1};
  group_items_ = {backend_, Memory::device, lookups};
  addresses_ = {backend_, Memory::device, lookups};
  loss_ = {backend_, Memory::pinned, 1};
}

Matrix StepModel::weights_of(const Layer& layer) const {
  return options_.type == DType::f32 ? Matrix::f32(layer.weights.data(), layer.out, layer.in)
                                     : Matrix::of(DType::bf16, layer.weights_bf16.data(), layer.out, layer.in);
}

void StepModel::forward(OperationTimes& times, std::vector<Layer>& mlp, Matrix x) {
  for (const Layer& layer : mlp) {
    if (options_.type == DType::bf16) {
      times.measure("convert", [&] {
        backend_.convert(*stream_, Matrix::f32(layer.weights.data(), layer.out, layer.in), weights_of(layer));
      });
    }
    times.measure("linear_forward", [&] {
      backend_.linear_forward(*stream_, x, weights_of(layer), layer.bias.data(), layer.out > 1, layer.y);
    });
    x = layer.y;
  }
}

void StepModel::backward(OperationTimes& times, std::vector<Layer>& mlp, const Matrix& x, const Matrix& dx) {
  for (size_t l = mlp.size(); l-- > 0;) {
    const Layer& layer = mlp[l];
    const Matrix& input = l == 0 ? x : mlp[l - 1].y;
    times.measure("linear_backward_weights", [&] {
      backend_.linear_backward_weights(*stream_, layer.dy, input, layer.weight_gradient.data(),
                                       layer.bias_gradient.data());
    });
    const Matrix& input_gradient = l == 0 ? dx : mlp[l - 1].dy;
    if (!input_gradient.data) continue;
    times.measure("linear_backward_input", [&] {
      backend_.linear_backward_input(*stream_, layer.dy, weights_of(layer), l == 0 ? Matrix() : input, input_gradient);
    });
  }
}

void StepModel::update(OperationTimes& times, std::vector<Layer>& mlp) {
  const OptimizerStep step{OptimizerKind::sgd, kLearningRate, 1e-8f};
  times.measure("update_dense", [&] {
    for (const Layer& layer : mlp) {
      backend_.update_dense(*stream_, step, layer.weights.data(), layer.weight_gradient.data(), nullptr,
                            layer.in * layer.out);
      backend_.update_dense(*stream_, step, layer.bias.data(), layer.bias_gradient.data(), nullptr, layer.out);
    }
  });
}

double StepModel::step(OperationTimes& times) {
  const Batch& batch = batches_[next_batch_++ % batches_.size()];
  const int64_t b = options_.batch, dim = options_.dim;
  const auto tables = static_cast<int64_t>(kTableRows.size());
  const int64_t lookups = tables * b;

  times.begin_step();
  times.measure("distinct", [&] {
    backend_.distinct(*stream_, batch.keys.data(), segments_, distinct_keys_.data(), distinct_segments_.data(),
                      row_of_key_.data());
    backend_.synchronize(*stream_);
  });
  const int64_t rows = distinct_segments_[tables];
  times.measure("group", [&] {
    backend_.group(*stream_, row_of_key_.data(), lookups, rows, group_offsets_.data(), group_items_.data());
  });
  times.measure("address_rows", [&] {
    backend_.address_rows(*stream_, store_.values, distinct_keys_.data(), rows, dim, addresses_.data());
  });
  times.measure("pool_bags", [&] {
    backend_.pool_bags(*stream_, {b, tables, nullptr, row_of_key_.data()}, addresses_.data(), features_);
  });

  Matrix x = Matrix::f32(batch.dense.data(), b, kDense);
  if (options_.type == DType::bf16) {
    const Matrix typed = Matrix::of(DType::bf16, dense_typed_.data(), b, kDense);
    times.measure("convert", [&] { backend_.convert(*stream_, x, typed); });
    x = typed;
  }
  forward(times, bottom_, x);
  times.measure("interaction_forward", [&] { backend_.interaction_forward(*stream_, features_, tables + 1, z_); });
  forward(times, top_, z_);
  times.measure("loss", [&] {
    backend_.loss(*stream_, top_.back().y.f32(), batch.labels.data(), b, 1.0f / static_cast<float>(b), top_.back().dy,
                  loss_.data());
  });

  backward(times, top_, z_, dz_);
  const Matrix dbags = Matrix::f32(dbags_.data(), lookups, dim);
  times.measure("interaction_backward",
                [&] { backend_.interaction_backward(*stream_, features_, tables + 1, dz_, ddense_, dbags); });
  backward(times, bottom_, x, {});
  // One lookup per bag: the items of a group, which are lookups, are the numbers of their bags.
  const Matrix row_gradients = Matrix::f32(row_gradients_.data(), rows, dim);
  times.measure("sum_rows", [&] {
    backend_.sum_rows(*stream_, {rows, lookups, group_offsets_.data(), group_items_.data()}, dbags, row_gradients);
  });
  times.measure("update_rows", [&] {
    backend_.update_rows(*stream_, {options_.optimizer, kLearningRate, 1e-8f}, store_, distinct_keys_.data(),
                         row_gradients, rows);
  });
  update(times, bottom_);
  update(times, top_);
  backend_.synchronize(*stream_);
  return loss_[0] / static_cast<double>(b);
}

}  // namespace sparrow::bench
