#include "train/row_reader.hpp"

#include <algorithm>

namespace sparrow {

namespace {

/// Of reading `rows` rows of a table on every rank at a time, which may be different ones.
ExchangeBounds bounds_of_reading(const Directory& directory, int64_t rows, int64_t dim) {
  const Hierarchy& hierarchy = directory.hierarchy();
  ExchangeBounds bounds;
  bounds.dim = dim;
  bounds.row_bytes = 4 * dim;
  bounds.samples = 1;
  bounds.bags = directory.tables().count();
  bounds.with_offsets = true;
  for (int level = 0; level <= hierarchy.depth(); ++level) {
    const auto ranks = hierarchy.members(level, hierarchy.domain(level, directory.rank())).size();
    const int64_t asked_for = static_cast<int64_t>(ranks) * rows;
    bounds.lists.push_back({asked_for, asked_for, asked_for});
  }
  for (int stage = 0; stage < hierarchy.depth(); ++stage) {
    bounds.asked.push_back(bounds.lists[static_cast<size_t>(stage) + 1].count);
    bounds.requested.push_back(bounds.lists[stage].requests);
  }
  return bounds;
}

/// The optimiser state as rows of its own.
RowStore state_of(const RowStore& rows) {
  return {rows.state, nullptr, rows.slots, rows.state_dim, 0};
}

}  // namespace

int64_t RowReader::most_guests(const Tables& tables, int ranks) {
  return ranks * std::min(kMostRows, *std::max_element(tables.rows().begin(), tables.rows().end()));
}

RowReader::RowReader(Trainer& trainer)
    : trainer_(trainer),
      rows_(trainer.store().rows()),
      router_(trainer.context().host, trainer.directory(), trainer.comms()),
      value_transfer_(trainer.backend(), rows_.dim, DType::f32),
      state_transfer_(trainer.backend(), rows_.state_dim, DType::f32),
      values_(trainer.context(), trainer.comms(), rows_, value_transfer_),
      state_(trainer.context(), trainer.comms(), state_of(rows_), state_transfer_),
      route_(trainer.backend(), trainer.comms().sizes()),
      packed_(trainer.backend(), Memory::device) {
  if (trainer.backend().device_is_host()) return;
  const Directory& directory = trainer.directory();
  const std::vector<int64_t>& table_rows = directory.tables().rows();
  const int64_t rows = std::min(kMostRows, *std::max_element(table_rows.begin(), table_rows.end()));
  const ExchangeBounds bounds = bounds_of_reading(directory, rows, rows_.dim);
  route_.reserve_rows(bounds);
  value_transfer_.reserve(bound_transfer(bounds));
  state_transfer_.reserve(bound_transfer(bounds_of_reading(directory, rows, rows_.state_dim)));
  packed_.reserve_exactly(rows * rows_.dim);
}

const RowReader::Rows& RowReader::read(int table, const std::vector<int64_t>& positions) {
  const int tables = trainer_.directory().tables().count();
  const auto n = static_cast<int64_t>(positions.size());
  offsets_.assign(static_cast<size_t>(tables) + 1, 0);  // one sample whose bag in `table` is all the positions
  for (int t = table + 1; t <= tables; ++t) offsets_[t] = n;
  Batch batch;
  batch.samples = 1;
  batch.tables = tables;
  batch.offsets = offsets_;
  batch.positions = positions;
  router_.build(trainer_.stream(), batch, route_, false);
  trainer_.row_admission().fill_guests(trainer_.stream(), route_.guests);
  load_offloaded();
  take(values_, offloaded_.rows(), n, rows_.dim, read_.values);
  if (rows_.state_dim > 0) take(state_, state_of(offloaded_.rows()), n, rows_.state_dim, read_.state);
  offloaded_.finish(false);
  return read_;
}

void RowReader::load_offloaded() {
  std::vector<std::span<int64_t>> slots;
  for (RowList& list : route_.lists) slots.emplace_back(list.slots.data() + list.device, list.here - list.device);
  offloaded_.start(trainer_.store().offloaded(), trainer_.directory().device_slots(), slots);
  offloaded_.load();
}

void RowReader::take(RowExchange& exchange, const RowStore& offloaded, int64_t n, int64_t dim,
                     std::vector<float>& out) {
  exchange.fetch_whole(trainer_.stream(), route_, offloaded);
  out.resize(n * dim);
  float* packed = packed_.reserve(n * dim);
  trainer_.backend().pack_rows(trainer_.stream(), route_.lowest().addresses.device(),
                               route_.lowest().row_of_request.device(), n, Matrix::f32(packed, n, dim));
  trainer_.backend().copy(trainer_.stream(), out.data(), packed, n * dim * 4);
  trainer_.backend().synchronize(trainer_.stream());
}

}  // namespace sparrow
