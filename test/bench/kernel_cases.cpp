#include "test/bench/kernel_cases.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>

#include "kernels/cuda/sum_pieces.hpp"

namespace sparrow::bench {

namespace {

using Operation = std::function<void()>;

const char* type_name(DType type) {
  return type == DType::f32 ? "fp32" : "bf16";
}

template <class T>
std::shared_ptr<Array<T>> array(Backend& backend, int64_t n, Memory memory = Memory::device) {
  return std::make_shared<Array<T>>(backend, memory, n);
}

template <class T>
std::shared_ptr<Array<T>> upload(Backend& backend, Stream& stream, const std::vector<T>& values) {
  auto there = array<T>(backend, static_cast<int64_t>(values.size()));
  backend.copy(stream, there->data(), values.data(), static_cast<int64_t>(values.size() * sizeof(T)));
  backend.synchronize(stream);
  return there;
}

std::shared_ptr<Array<float>> floats(Backend& backend, Stream& stream, int64_t n) {
  auto values = array<float>(backend, n);
  constexpr int64_t kRow = 1 << 20;
  const auto id = upload<int64_t>(backend, stream, {0});
  for (int64_t begin = 0; begin < n; begin += kRow)
    backend.init_rows(stream, 1, static_cast<uint32_t>(begin / kRow), id->data(), 1, std::min(kRow, n - begin), 1.0f,
                      values->data() + begin);
  backend.synchronize(stream);
  return values;
}

/// A matrix of values in (-1, 1) and its memory.
struct Filled {
  Matrix matrix;
  std::shared_ptr<void> memory;
};

Filled filled(Backend& backend, Stream& stream, DType type, int64_t rows, int64_t cols) {
  const auto values = floats(backend, stream, rows * cols);
  if (type == DType::f32) return {Matrix::f32(values->data(), rows, cols), values};
  const auto half = array<uint16_t>(backend, rows * cols);
  const Matrix result = Matrix::of(DType::bf16, half->data(), rows, cols);
  backend.convert(stream, Matrix::f32(values->data(), rows, cols), result);
  backend.synchronize(stream);
  return {result, half};
}

/// n numbers below `below`, in random order and different where n <= below.
std::vector<int64_t> random_slots(int64_t n, int64_t below) {
  std::vector<int64_t> numbers(std::max(n, below));
  std::iota(numbers.begin(), numbers.end(), 0);
  for (int64_t& number : numbers) number %= below;
  std::shuffle(numbers.begin(), numbers.end(), std::mt19937_64(1));
  numbers.resize(n);
  return numbers;
}

std::vector<int32_t> narrowed(const std::vector<int64_t>& numbers) {
  std::vector<int32_t> result;
  for (const int64_t number : numbers) result.push_back(static_cast<int32_t>(number));
  return result;
}

/// The cases of one list, added one by one.
class Cases {
 public:
  explicit Cases(const CaseShapes& shapes)
      : s(shapes),
        lookups(shapes.batch * shapes.tables),
        distinct(std::max<int64_t>(1, static_cast<int64_t>(shapes.distinct_share * static_cast<double>(lookups)))) {}

  void add_layer(DType type, int64_t k, int64_t n, bool first);
  void add_interaction(DType type);
  void add_loss(DType type);
  void add_distinct();
  void add_rows(DType type);
  void add_bags();
  void add_sum_rows(DType type, int64_t groups);
  void add_updates();
  std::vector<KernelCase> result;

 private:
  const CaseShapes& s;
  const int64_t lookups, distinct;

  void add(std::string name, std::string shape, const cuda::Work& work, DType type,
           std::function<Operation(Backend&, Stream&)> prepare, std::optional<Gemm> gemm = {}) {
    result.push_back({std::move(name), std::move(shape), work, type, gemm, std::move(prepare)});
  }
};

void Cases::add_layer(DType type, int64_t k, int64_t n, bool first) {
  const int64_t b = s.batch;
  const std::string shape = fmt::format("{} x {} to {}, {}", b, k, n, type_name(type));
  add(
      "linear_forward", shape, cuda::linear_forward_work(type, b, k, n), type,
      [=](Backend& backend, Stream& stream) -> Operation {
        const Filled x = filled(backend, stream, type, b, k), w = filled(backend, stream, type, n, k),
                     y = filled(backend, stream, type, b, n);
        const auto bias = floats(backend, stream, n);
        return [=, &backend, &stream] {
          backend.linear_forward(stream, x.matrix, w.matrix, bias->data(), true, y.matrix);
        };
      },
      Gemm{b, n, k, true, true});
  if (!first) {
    add(
        "linear_backward_input", shape, cuda::linear_backward_input_work(type, b, k, n), type,
        [=](Backend& backend, Stream& stream) -> Operation {
          const Filled dy = filled(backend, stream, type, b, n), w = filled(backend, stream, type, n, k),
                       active = filled(backend, stream, type, b, k), dx = filled(backend, stream, type, b, k);
          return [=, &backend, &stream] {
            backend.linear_backward_input(stream, dy.matrix, w.matrix, active.matrix, dx.matrix);
          };
        },
        Gemm{b, k, n, true, false});
  }
  add(
      "linear_backward_weights", shape, cuda::linear_backward_weights_work(type, b, k, n), type,
      [=](Backend& backend, Stream& stream) -> Operation {
        const Filled dy = filled(backend, stream, type, b, n), x = filled(backend, stream, type, b, k);
        const auto dw = floats(backend, stream, n * k), dbias = floats(backend, stream, n);
        return [=, &backend, &stream] {
          backend.linear_backward_weights(stream, dy.matrix, x.matrix, dw->data(), dbias->data());
        };
      },
      Gemm{n, k, b, false, false});
}

void Cases::add_interaction(DType type) {
  const int64_t b = s.batch, vectors = s.tables + 1, dim = s.dim, width = dim + vectors * (vectors - 1) / 2;
  const std::string shape = fmt::format("{} x {} vectors of {}, z {}", b, vectors, dim, type_name(type));
  add("interaction_forward", shape, cuda::interaction_forward_work(type, b, vectors, dim), type,
      [=](Backend& backend, Stream& stream) -> Operation {
        const Filled features = filled(backend, stream, DType::f32, b * vectors, dim),
                     z = filled(backend, stream, type, b, width);
        return [=, &backend, &stream] { backend.interaction_forward(stream, features.matrix, vectors, z.matrix); };
      });
  add("interaction_backward", shape, cuda::interaction_backward_work(type, b, vectors, dim), type,
      [=](Backend& backend, Stream& stream) -> Operation {
        const Filled features = filled(backend, stream, DType::f32, b * vectors, dim),
                     dz = filled(backend, stream, type, b, width), ddense = filled(backend, stream, type, b, dim),
                     dbags = filled(backend, stream, DType::f32, b * (vectors - 1), dim);
        return [=, &backend, &stream] {
          backend.interaction_backward(stream, features.matrix, vectors, dz.matrix, ddense.matrix, dbags.matrix);
        };
      });
}

void Cases::add_loss(DType type) {
  const int64_t b = s.batch;
  add("loss", fmt::format("{}, gradient {}", b, type_name(type)), cuda::loss_work(type, b), type,
      [=](Backend& backend, Stream& stream) -> Operation {
        const auto logits = floats(backend, stream, b), labels = floats(backend, stream, b);
        const auto sum = array<double>(backend, 1, Memory::pinned);
        const Filled gradient = filled(backend, stream, type, b, 1);
        return [=, &backend, &stream] {
          backend.loss(stream, logits->data(), labels->data(), b, 1.0f, gradient.matrix, sum->data());
        };
      });
}

void Cases::add_distinct() {
  const int64_t n = lookups, groups = distinct, batch = s.batch, tables = s.tables;
  add("distinct", fmt::format("{} keys, {} distinct", n, groups), cuda::distinct_work(n, groups), DType::f32,
      [=](Backend& backend, Stream& stream) -> Operation {
        // A table of its own for each segment, and as many values as make the share distinct.
        const int64_t values = std::max<int64_t>(1, groups / tables);
        std::vector<int64_t> keys, segments;
        for (int64_t t = 0; t <= tables; ++t) segments.push_back(t * batch);
        std::mt19937_64 random(1);
        for (int64_t i = 0; i < n; ++i)
          keys.push_back(i / batch * values + (i % batch < values
                                                   ? i % batch
                                                   : static_cast<int64_t>(random() % static_cast<uint64_t>(values))));
        const auto there = upload(backend, stream, keys);
        const auto found = array<int64_t>(backend, n);
        const auto rows = array<int32_t>(backend, n);
        const auto ends = array<int64_t>(backend, tables + 1, Memory::pinned);
        return [=, &backend, &stream] {
          backend.distinct(stream, there->data(), segments, found->data(), ends->data(), rows->data());
        };
      });
  add("group", fmt::format("{} items in {} groups", n, groups), cuda::group_work(n, groups), DType::f32,
      [=](Backend& backend, Stream& stream) -> Operation {
        const auto group_of = upload(backend, stream, narrowed(random_slots(n, groups)));
        const auto offsets = array<int32_t>(backend, groups + 1), items = array<int32_t>(backend, n);
        return [=, &backend, &stream] {
          backend.group(stream, group_of->data(), n, groups, offsets->data(), items->data());
        };
      });
}

void Cases::add_rows(DType type) {
  const int64_t n = std::min(distinct, s.rows), rows = s.rows, dim = s.dim;
  const std::string shape = fmt::format("{} rows of {} to {}", n, dim, type_name(type));
  add("gather_rows", shape, cuda::gather_rows_work(type, n, dim), type,
      [=](Backend& backend, Stream& stream) -> Operation {
        const auto values = floats(backend, stream, rows * dim);
        const auto slots = upload(backend, stream, random_slots(n, rows));
        const Filled out = filled(backend, stream, type, n, dim);
        return [=, &backend, &stream] {
          backend.gather_rows(stream, {values->data(), nullptr, rows, dim, 0}, slots->data(), n, out.matrix);
        };
      });
  add("pack_rows", shape, cuda::pack_rows_work(type, n, dim), type, [=](Backend& backend, Stream& stream) -> Operation {
    const auto values = floats(backend, stream, rows * dim);
    const auto slots = upload(backend, stream, random_slots(n, rows));
    const auto items = upload(backend, stream, narrowed(random_slots(n, n)));
    const auto addresses = array<const float*>(backend, n);
    backend.address_rows(stream, values->data(), slots->data(), n, dim, addresses->data());
    const Filled out = filled(backend, stream, type, n, dim);
    return [=, &backend, &stream] {
      static_cast<void>(values);  // which the addresses point to
      backend.pack_rows(stream, addresses->data(), items->data(), n, out.matrix);
    };
  });
}

/// Groups that differ in size by one item at most.
void Cases::add_sum_rows(DType type, int64_t groups) {
  const int64_t n = lookups, dim = s.dim;
  const int64_t larger = n % groups;
  const int64_t pieces = larger * cuda::pieces_of(n / groups + 1) + (groups - larger) * cuda::pieces_of(n / groups);
  add("sum_rows", fmt::format("{} {} rows of {} in {} groups", n, type_name(type), dim, groups),
      cuda::sum_rows_work(type, n, groups, dim, pieces), type, [=](Backend& backend, Stream& stream) -> Operation {
        const auto group_of = upload(backend, stream, narrowed(random_slots(n, groups)));
        const auto offsets = array<int32_t>(backend, groups + 1), items = array<int32_t>(backend, n);
        backend.group(stream, group_of->data(), n, groups, offsets->data(), items->data());
        const Filled from = filled(backend, stream, type, n, dim);
        const Filled out = filled(backend, stream, DType::f32, groups, dim);
        return [=, &backend, &stream] {
          backend.sum_rows(stream, {groups, n, offsets->data(), items->data()}, from.matrix, out.matrix);
        };
      });
}

void Cases::add_bags() {
  const int64_t n = lookups, d = std::min(distinct, s.rows), b = s.batch, tables = s.tables, dim = s.dim, rows = s.rows;
  add("address_rows", fmt::format("{}", d), cuda::address_rows_work(d), DType::f32,
      [=](Backend& backend, Stream& stream) -> Operation {
        const auto slots = upload(backend, stream, random_slots(d, rows));
        const auto addresses = array<const float*>(backend, d);
        return
            [=, &backend, &stream] { backend.address_rows(stream, nullptr, slots->data(), d, dim, addresses->data()); };
      });
  add("pool_bags", fmt::format("{} lookups of {} rows of {}", n, d, dim), cuda::pool_bags_work(n, d, b * tables, dim),
      DType::f32, [=](Backend& backend, Stream& stream) -> Operation {
        const auto values = floats(backend, stream, d * dim);
        const auto addresses = array<const float*>(backend, d);
        backend.address_rows(stream, values->data(), nullptr, d, dim, addresses->data());
        const auto row_of_lookup = upload(backend, stream, narrowed(random_slots(n, d)));
        const Filled features = filled(backend, stream, DType::f32, b * (tables + 1), dim);
        return [=, &backend, &stream] {
          static_cast<void>(values);
          backend.pool_bags(stream, {b, tables, nullptr, row_of_lookup->data()}, addresses->data(), features.matrix);
        };
      });
  for (const DType type : {DType::f32, DType::bf16}) {
    add_sum_rows(type, d);
    add_sum_rows(type, tables);  // as of tables with a row each
  }
  add("lookup_bags", fmt::format("{} lookups in {} bags", n, b * tables), cuda::lookup_bags_work(n, b * tables),
      DType::f32, [=](Backend& backend, Stream& stream) -> Operation {
        std::vector<int64_t> ends(static_cast<size_t>(b * tables) + 1);
        std::iota(ends.begin(), ends.end(), 0);
        const auto offsets = upload(backend, stream, ends);
        const auto numbers = upload(backend, stream, narrowed(random_slots(n, n)));
        const auto bags_of = array<int32_t>(backend, n);
        return [=, &backend, &stream] {
          backend.lookup_bags(stream, {b, tables, offsets->data(), nullptr}, numbers->data(), n, bags_of->data());
        };
      });
}

void Cases::add_updates() {
  int64_t parameters = 0;
  for (const auto& widths : {s.bottom, s.top})
    for (size_t i = 1; i < widths.size(); ++i) parameters += widths[i] * (widths[i - 1] + 1);
  const int64_t n = std::min(distinct, s.rows), rows = s.rows, dim = s.dim;
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adagrad, OptimizerKind::rowwise_adagrad}) {
    const bool sgd = kind == OptimizerKind::sgd, rowwise = kind == OptimizerKind::rowwise_adagrad;
    const std::string name = sgd ? "sgd" : rowwise ? "rowwise_adagrad" : "adagrad";
    if (!rowwise) {
      add("update_dense", fmt::format("{} parameters, {}", parameters, name), cuda::update_dense_work(kind, parameters),
          DType::f32, [=](Backend& backend, Stream& stream) -> Operation {
            const auto values = floats(backend, stream, parameters), gradients = floats(backend, stream, parameters);
            const auto state = array<float>(backend, parameters);
            backend.zero(stream, state->data(), parameters * 4);
            return [=, &backend, &stream] {
              backend.update_dense(stream, {kind, 1e-6f, 1e-8f}, values->data(), gradients->data(), state->data(),
                                   parameters);
            };
          });
    }
    add("update_rows", fmt::format("{} rows of {}, {}", n, dim, name), cuda::update_rows_work(kind, n, dim), DType::f32,
        [=](Backend& backend, Stream& stream) -> Operation {
          const int64_t state_dim = sgd ? 0 : rowwise ? 1 : dim;
          const auto values = floats(backend, stream, rows * dim), gradients = floats(backend, stream, n * dim);
          const auto state = array<float>(backend, rows * state_dim);
          if (state_dim > 0) backend.zero(stream, state->data(), rows * state_dim * 4);
          const auto slots = upload(backend, stream, random_slots(n, rows));
          return [=, &backend, &stream] {
            backend.update_rows(stream, {kind, 1e-6f, 1e-8f}, {values->data(), state->data(), rows, dim, state_dim},
                                slots->data(), Matrix::f32(gradients->data(), n, dim), n);
          };
        });
  }
  const int64_t made = std::min<int64_t>(rows, 1 << 20);
  add("init_rows", fmt::format("{} rows of {}", made, dim), cuda::init_rows_work(made, dim), DType::f32,
      [=](Backend& backend, Stream& stream) -> Operation {
        const auto values = array<float>(backend, made * dim);
        const auto ids = upload(backend, stream, random_slots(made, made));
        return
            [=, &backend, &stream] { backend.init_rows(stream, 1, 2, ids->data(), made, dim, 1.0f, values->data()); };
      });
  for (const auto& [from, to] : {std::pair{DType::f32, DType::bf16}, {DType::bf16, DType::f32}}) {
    add("convert", fmt::format("{} rows of {}, {} to {}", n, dim, type_name(from), type_name(to)),
        cuda::convert_work(from, to, n * dim), to,
        [=, from = from, to = to](Backend& backend, Stream& stream) -> Operation {
          const Filled source = filled(backend, stream, from, n, dim), target = filled(backend, stream, to, n, dim);
          return [=, &backend, &stream] { backend.convert(stream, source.matrix, target.matrix); };
        });
  }
}

}  // namespace

std::vector<KernelCase> kernel_cases(const CaseShapes& shapes) {
  Cases cases(shapes);
  for (const DType type : {DType::bf16, DType::f32}) {
    for (const auto* widths : {&shapes.bottom, &shapes.top}) {
      for (size_t i = 1; i < widths->size(); ++i)
        cases.add_layer(type, (*widths)[i - 1], (*widths)[i], widths == &shapes.bottom && i == 1);
    }
  }
  for (const DType type : {DType::bf16, DType::f32}) cases.add_interaction(type);
  for (const DType type : {DType::bf16, DType::f32}) cases.add_loss(type);
  cases.add_distinct();
  for (const DType type : {DType::f32, DType::bf16}) cases.add_rows(type);
  cases.add_bags();
  cases.add_updates();
  return cases.result;
}

}  // namespace sparrow::bench
