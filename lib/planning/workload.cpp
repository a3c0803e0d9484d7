#include "planning/workload.hpp"

#include "base/error.hpp"
#include "layout/tables.hpp"

namespace sparrow {

placement::Workload make_workload(const Iteration& iteration) {
  const ModelShape& model = iteration.model;
  SPARROW_CHECK(std::ssize(iteration.access) == model.tables, "{} distributions for {} tables", iteration.access.size(),
                model.tables);
  placement::Workload workload;
  double rows = 0;
  for (int64_t t = 0; t < model.tables; ++t) {
    placement::Table table;
    table.name = iteration.names.empty() ? fmt::format("C{}", t + 1) : iteration.names[t];
    table.access = iteration.access[t];
    table.lookups = iteration.bag_sizes.empty() ? 1 : iteration.bag_sizes[t];
    table.row_bytes = 4 * model.dim;
    table.state_bytes = 4 * state_dim(iteration.optimizer, model.dim);
    table.wire_bytes = size_of(iteration.wire) * model.dim;
    rows += static_cast<double>(table.access.total_rows());
    workload.tables.push_back(std::move(table));
  }
  workload.global_batch = iteration.global_batch;
  workload.id_bytes = key_bytes(rows);
  workload.dense_bytes = static_cast<double>(4 * model.parameters());
  workload.flops_per_sample = static_cast<double>(model.flops_per_sample());
  workload.flops_behind_per_sample = static_cast<double>(model.flops_behind_per_sample());
  workload.buffer_bytes_per_sample = static_cast<double>(model.activation_bytes_per_sample());
  workload.sized_buffers = true;
  workload.overlapped = iteration.overlapped;
  placement::validate(workload);
  return workload;
}

}  // namespace sparrow
