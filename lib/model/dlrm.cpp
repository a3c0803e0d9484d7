#include "model/dlrm.hpp"

#include <cmath>

#include "base/error.hpp"
#include "base/random.hpp"

namespace sparrow {

namespace {
/// Random streams below this number belong to embedding tables (layout/tables.hpp), from it on to dense
/// parameters.
constexpr uint32_t kDenseStream = 1u << 20;
}  // namespace

Dlrm::Dlrm(Backend& backend, Stream& stream, const ModelShape& shape, DType precision, int64_t max_batch, uint64_t seed)
    : backend_(backend), shape_(shape), precision_(precision) {
  SPARROW_CHECK(max_batch >= 0);
  add_layers("bot_l", shape_.bottom);
  add_layers("top_l", shape_.top);

  const int64_t size = shape_.parameters();
  values_ = Array<float>(backend_, Memory::device, size, MemoryPart::dense);
  gradients_ = Array<float>(backend_, Memory::device, size, MemoryPart::dense);
  if (precision_ == DType::bf16) values_bf16_ = Array<uint16_t>(backend_, Memory::device, size, MemoryPart::dense);
  mlps_.emplace_back(backend_, layers(0, shape_.bottom.size()), precision_, true, max_batch);
  mlps_.emplace_back(backend_, layers(shape_.bottom.size(), shape_.top.size()), precision_, false, max_batch);

  const int64_t width = size_of(precision_);
  const auto make = [&](int64_t bytes) {
    return Array<std::byte>(backend_, Memory::device, bytes, MemoryPart::activations);
  };
  const auto make_f32 = [&](int64_t n) { return Array<float>(backend_, Memory::device, n, MemoryPart::activations); };
  dense_input_ = make(precision_ == DType::f32 ? 0 : max_batch * shape_.dense_features * width);
  z_ = make(max_batch * shape_.interaction_width() * width);
  dz_ = make(max_batch * shape_.interaction_width() * width);
  ddense_ = make(max_batch * shape_.dim * width);
  dlogits_ = make(max_batch * width);
  features_ = make_f32(max_batch * shape_.vectors() * shape_.dim);
  dbags_ = make_f32(max_batch * shape_.tables * shape_.dim);
  logits_ = make_f32(max_batch);
  initialise(stream, seed);
}

void Dlrm::add_layers(const std::string& name, const std::vector<Layer>& layers) {
  for (size_t i = 0; i < layers.size(); ++i) {
    const int64_t offset = list_.empty() ? 0 : list_.back().offset + list_.back().size();
    const std::string layer = fmt::format("{}.{}", name, 2 * i);
    list_.push_back({layer + ".weight", {layers[i].outputs, layers[i].inputs}, offset});
    list_.push_back({layer + ".bias", {layers[i].outputs}, offset + layers[i].weights()});
  }
}

std::vector<LinearParameters> Dlrm::layers(size_t first, size_t count) const {
  std::vector<LinearParameters> result;
  for (size_t i = first; i < first + count; ++i) {
    const DenseParameter &weight = list_[2 * i], &bias = list_[2 * i + 1];
    LinearParameters layer;
    layer.outputs = weight.shape[0];
    layer.inputs = weight.shape[1];
    layer.weight = values_.data() + weight.offset;
    layer.bias = values_.data() + bias.offset;
    layer.weight_gradient = gradients_.data() + weight.offset;
    layer.bias_gradient = gradients_.data() + bias.offset;
    if (precision_ == DType::bf16) layer.weight_bf16 = values_bf16_.data() + weight.offset;
    result.push_back(layer);
  }
  return result;
}

void Dlrm::initialise(Stream& stream, uint64_t seed) {
  Array<float> host(backend_, Memory::host, parameter_count());
  for (size_t p = 0; p < list_.size(); ++p) {
    const DenseParameter& parameter = list_[p];
    const bool weight = parameter.shape.size() == 2;
    const double fan =
        weight ? static_cast<double>(parameter.shape[0] + parameter.shape[1]) : static_cast<double>(parameter.shape[0]);
    const float deviation = static_cast<float>(std::sqrt((weight ? 2.0 : 1.0) / fan));
    for (int64_t i = 0; i < parameter.size(); i += 4) {
      const Philox4 words =
          random_words(seed, kDenseStream + static_cast<uint32_t>(p), static_cast<uint64_t>(i / 4), 0);
      float normal[4];
      normal_pair(words.v[0], words.v[1], normal[0], normal[1]);
      normal_pair(words.v[2], words.v[3], normal[2], normal[3]);
      for (int64_t j = i; j < std::min(i + 4, parameter.size()); ++j)
        host[parameter.offset + j] = deviation * normal[j - i];
    }
  }
  backend_.copy(stream, values_.data(), host.data(), parameter_count() * 4);
  backend_.synchronize(stream);
  refresh(stream);
}

void Dlrm::refresh(Stream& stream) {
  if (precision_ == DType::bf16)
    backend_.convert(stream, Matrix::f32(values_.data(), 1, parameter_count()),
                     Matrix::of(DType::bf16, values_bf16_.data(), 1, parameter_count()));
}

Matrix Dlrm::features() const {
  return Matrix::f32(features_.data(), batch_ * shape_.vectors(), shape_.dim);
}

void Dlrm::forward_dense(Stream& stream, const float* dense, int64_t samples) {
  SPARROW_CHECK(samples <= logits_.size());
  batch_ = samples;
  Matrix x = Matrix::f32(const_cast<float*>(dense), batch_, shape_.dense_features);  // the operations only read it
  if (precision_ != DType::f32) {
    const Matrix converted = Matrix::of(precision_, dense_input_.data(), batch_, shape_.dense_features);
    backend_.convert(stream, x, converted);
    x = converted;
  }
  mlps_[0].forward(stream, x, Matrix::f32(features_.data(), batch_, shape_.dim, shape_.vectors() * shape_.dim));
}

const float* Dlrm::forward_bags(Stream& stream, const Bags& bags, const float* const* rows) {
  SPARROW_CHECK(bags.tables == shape_.tables && bags.samples == batch_);
  backend_.pool_bags(stream, bags, rows, features());
  const Matrix z = Matrix::of(precision_, z_.data(), batch_, shape_.interaction_width());
  backend_.interaction_forward(stream, features(), shape_.vectors(), z);
  mlps_[1].forward(stream, z, Matrix::f32(logits_.data(), batch_, 1));
  return logits_.data();
}

Matrix Dlrm::backward_to_bags(Stream& stream, const float* labels, float scale, double* loss_sum) {
  const Matrix dlogits = Matrix::of(precision_, dlogits_.data(), batch_, 1);
  const Matrix dz = Matrix::of(precision_, dz_.data(), batch_, shape_.interaction_width());
  const Matrix ddense = Matrix::of(precision_, ddense_.data(), batch_, shape_.dim);
  const Matrix dbags = Matrix::f32(dbags_.data(), batch_ * shape_.tables, shape_.dim);
  backend_.loss(stream, logits_.data(), labels, batch_, scale, dlogits, loss_sum);
  mlps_[1].backward_inputs(stream, dlogits, dz);
  backend_.interaction_backward(stream, features(), shape_.vectors(), dz, ddense, dbags);
  return dbags;
}

void Dlrm::backward_dense(Stream& stream) {
  mlps_[1].backward_parameters(stream);
  mlps_[0].backward_inputs(stream, Matrix::of(precision_, ddense_.data(), batch_, shape_.dim), Matrix{});
  mlps_[0].backward_parameters(stream);
}

void Dlrm::loss(Stream& stream, const float* labels, double* loss_sum) {
  backend_.loss(stream, logits_.data(), labels, batch_, 0.0f, Matrix{}, loss_sum);
}

}  // namespace sparrow
