// Sections `model` and `optimizer` of the configuration.
#pragma once

#include <cstdint>
#include <vector>

#include "base/fields.hpp"
#include "kernels/backend.hpp"

namespace sparrow {

enum class Interaction : uint8_t { dot };
template <>
inline constexpr Word kWords<Interaction>[] = {"dot"};

template <>
inline constexpr Word kWords<OptimizerKind>[] = {"sgd", "adagrad", "rowwise_adagrad"};

struct ModelOptions {
  int64_t embedding_dim = 64;
  std::vector<int64_t> bottom = {512, 256};  ///< hidden layers; the last one, of embedding_dim, is added
  std::vector<int64_t> top = {512, 256};     ///< hidden layers; the last one, of 1, is added
  Interaction interaction = Interaction::dot;
};

template <class Visitor>
void visit_fields(Visitor& visit, ModelOptions& options) {
  constexpr int64_t kWidest = 1 << 20;
  visit("embedding_dim", options.embedding_dim, Integers{1, 1 << 16});
  visit("bottom", options.bottom, Integers{1, kWidest});
  visit("top", options.top, Integers{1, kWidest});
  visit("interaction", options.interaction);
}

struct OptimizerOptions {
  struct One {
    OptimizerKind kind = OptimizerKind::adagrad;
    double lr = 0.01;
    double eps = 1e-8;
    double initial_accumulator = 0;
  };
  One dense{OptimizerKind::adagrad, 0.01, 1e-8, 0};
  One sparse{OptimizerKind::rowwise_adagrad, 0.02, 1e-8, 0};
  int64_t warmup_steps = 0;
  int64_t decay_start = 0;  ///< polynomial decay (power 2) from this step over decay_steps, as in MLPerf
  int64_t decay_steps = 0;
};

template <class Visitor>
void visit_fields(Visitor& visit, OptimizerOptions::One& options) {
  visit("name", options.kind);
  visit("lr", options.lr, Reals{0});
  visit("eps", options.eps, Reals{0});
  visit("initial_accumulator", options.initial_accumulator, Reals{0});
  const bool divides = options.kind != OptimizerKind::sgd;
  visit.require(
      !divides || static_cast<float>(options.eps) != 0 || static_cast<float>(options.initial_accumulator) != 0, {"eps"},
      "{} divides by zero for a gradient of zero; set initial_accumulator or a larger eps", options.eps);
}

template <class Visitor>
void visit_fields(Visitor& visit, OptimizerOptions& options) {
  visit("dense", options.dense);
  visit.require(options.dense.kind != OptimizerKind::rowwise_adagrad, {"dense"},
                "rowwise_adagrad is of rows; name: sgd or adagrad");
  visit("sparse", options.sparse);
  visit("warmup_steps", options.warmup_steps, Integers{0});
  visit("decay_start", options.decay_start, Integers{0});
  visit("decay_steps", options.decay_steps, Integers{0});
  visit.require(options.decay_steps == 0 || options.decay_start >= options.warmup_steps, {"decay_start", "decay_steps"},
                "the decay starts at step {}, before the warm-up ends at step {}", options.decay_start,
                options.warmup_steps);
}

}  // namespace sparrow
