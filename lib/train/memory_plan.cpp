#include "train/memory_plan.hpp"

#include <algorithm>

#include "comm/collectives.hpp"
#include "data/criteo.hpp"
#include "exchange/embedding_exchange.hpp"
#include "exchange/migration.hpp"
#include "exchange/staged_all_reduce.hpp"
#include "model/dlrm.hpp"
#include "store/store.hpp"
#include "train/row_reader.hpp"

namespace sparrow {

namespace {

/// Most items that one sum of rows has.
int64_t most_members(const ExchangeBounds& bounds) {
  int64_t most = bounds.pooled.rows.members;
  for (const ListBounds& list : bounds.lists) most = std::max(most, list.members);
  for (const auto& level : bounds.copies.levels) most = std::max(most, level.merged.members);
  return most;
}

}  // namespace

MemoryPlan plan_memory(Backend& backend, const Directory& directory, const TrainerOptions& options) {
  MemoryPlan plan;
  if (backend.device_is_host()) return plan;
  plan.budget = backend.free_memory();
  const Tables& tables = directory.tables();
  const int64_t samples = options.limits.samples.at(directory.rank());
  const int64_t row_state = state_dim(options.optimizer.sparse.kind, tables.dim());
  plan.bounds = bound_exchange(directory, options.limits, size_of(options.wire), options.overlapped);

  MemoryByPart& needs = plan.needs;
  Store::add_needs(directory, row_state, needs);
  Dlrm::add_needs(options.model, tables.count(), options.precision, samples, needs);
  const std::vector<LayerShape> layers = Dlrm::layer_shapes(options.model, tables.count(), options.precision, samples);
  int64_t parameters = 0;
  for (const LayerShape& layer : layers) parameters += layer.n * layer.k + layer.n;
  if (options.optimizer.dense.kind != OptimizerKind::sgd) needs.add(MemoryPart::dense, parameters * 4);
  needs.add(MemoryPart::activations, samples * kCriteoDense * 4);
  needs.add(MemoryPart::activations, samples * 4);
  if (directory.hierarchy().depth() > 0) StagedAllReduce::add_needs(parameters, DType::f32, needs);
  EmbeddingExchange::add_needs(backend, directory.hierarchy(), directory.rank(), plan.bounds, options.wire, needs);
  RowReader::add_needs(backend, directory, row_state, needs);
  if (options.most_moved > 0) Migration::add_needs(backend, options.most_moved, tables.dim(), row_state, needs);
  plan.compute_scratch = backend.scratch_bytes(layers, 0, tables.dim());
  plan.exchange_scratch = backend.scratch_bytes({}, most_members(plan.bounds), tables.dim());
  needs.add(MemoryPart::scratch, plan.compute_scratch);
  needs.add(MemoryPart::scratch, plan.exchange_scratch);

  // Filling the rows comes before the exchange's buffers are taken: only what it needs beyond them counts.
  const int64_t later = needs.of(MemoryPart::exchange) + needs.of(MemoryPart::scratch);
  needs.add(MemoryPart::other, std::max<int64_t>(0, Store::filling_needs(directory).total() - later));
  return plan;
}

std::string describe(const MemoryByPart& needs, int64_t budget) {
  std::string text;
  const auto line = [&](const char* name, int64_t bytes) {
    text += fmt::format("  {:<26}{:>16} bytes {:>10.1f} MiB\n", name, bytes, static_cast<double>(bytes) / (1 << 20));
  };
  for (int p = 0; p < kMemoryParts; ++p) {
    const auto part = static_cast<MemoryPart>(p);
    if (needs.of(part) > 0) line(memory_part_name(part), needs.of(part));
  }
  line("total, at most", needs.total());
  line("device memory", budget);
  return text;
}

MemoryLack lack_of_memory(Comm& comm, const MemoryByPart& needs, int64_t budget) {
  const std::vector<int64_t> lacking = all_gather(comm, needs.total() - budget);
  const auto worst = std::max_element(lacking.begin(), lacking.end());
  const auto rank = static_cast<int>(worst - lacking.begin());
  MemoryLack lack{std::max<int64_t>(0, *worst), {}};
  if (lack.bytes > 0)
    lack.why = fmt::format("rank {} lacks {} bytes of device memory (system.device_memory):\n{}", rank, lack.bytes,
                           broadcast_string(comm, describe(needs, budget), rank));
  return lack;
}

}  // namespace sparrow
