#include "exchange/embedding_exchange.hpp"

#include <algorithm>

namespace sparrow {

BatchRoute::BatchRoute(Backend& backend, std::span<const int> peers, int ranks)
    : rows(backend, peers),
      copies(backend, peers),
      pooled(backend, ranks),
      offsets(backend),
      row_of_lookup(backend),
      merged_addresses(backend) {}

EmbeddingExchange::EmbeddingExchange(const RankContext& context, const Directory& directory, const StageComms& comms,
                                     const RowStore& store, OffloadedRows* offloaded, DType wire,
                                     RowAdmission* admission)
    : context_(context),
      backend_(context.backend),
      host_(context.host),
      host_stream_(context.host.make_stream()),
      directory_(directory),
      comms_(comms),
      store_(store),
      offloaded_(offloaded),
      admission_(admission),
      wire_(wire),
      router_(context.host, directory, comms, admission),
      divider_(context.host, directory, comms),
      transfer_(context.backend, store.dim, wire),
      rows_(context, comms, store, transfer_),
      retired_(comms.count()),
      part_offsets_(context.host, Memory::host),
      part_items_(context.host, Memory::host) {
  replan();
}

void EmbeddingExchange::reserve(const ExchangeBounds& bounds) {
  transfer_.reserve(bound_transfer(bounds));
  dense_copies_->reserve(bounds);
  if (pooled_) pooled_->reserve(bounds);
}

void EmbeddingExchange::replan() {
  for (size_t stage = 0; stage < retired_.size() && dense_copies_; ++stage)
    retired_[stage] = retired_[stage] + dense_copies_->stage_traffic(static_cast<int>(stage));
  dense_copies_.reset();  // first: the blocks of the old plan and the new one need not exist together
  dense_copies_ = std::make_unique<DenseCopies>(context_, directory_, store_, wire_);
  sparse_copies_ = std::make_unique<SparseCopies>(context_, directory_, comms_, store_, transfer_);
  partial_sums_ = directory_.plan().any_travels(Transport::partial_sums);
  const bool any = partial_sums_ || directory_.plan().any_travels(Transport::pooled);
  pooled_.reset();
  if (any && comms_.count() > 0)
    pooled_ = std::make_unique<BagExchange>(context_, directory_, comms_, store_, transfer_);
  updates_.clear();
}

/// Divides the lookups: rows with one copy of a pooled table are pooled at their holder, all others come as rows.
void EmbeddingExchange::split(const Batch& batch) {
  const Tables& tables = directory_.tables();
  const int64_t bags = batch.samples * batch.tables;
  row_offsets_.assign(1, 0);
  row_positions_.clear();
  lookups_.clear();
  bag_is_partial_.assign(bags, 0);
  for (int t = 0; t < batch.tables; ++t) {
    const bool partial = directory_.plan().tables[t].travels(Transport::partial_sums);
    for (int64_t bag = t * batch.samples; bag < (t + 1) * batch.samples; ++bag) {
      const auto b = static_cast<size_t>(bag);
      const int64_t first = batch.offsets.empty() ? bag : batch.offsets[b];
      const int64_t last = batch.offsets.empty() ? bag + 1 : batch.offsets[b + 1];
      bag_is_partial_[b] = partial;
      for (int64_t l = first; l < last; ++l) {
        const int64_t position = batch.positions[l], key = tables.first_key(t) + position;
        if (is_pooled(directory_.transport(key)) && directory_.level(key) == 0)
          lookups_.push_back({static_cast<int32_t>(bag), key});
        else
          row_positions_.push_back(position);
      }
      row_offsets_.push_back(static_cast<int64_t>(row_positions_.size()));
    }
  }
}

void EmbeddingExchange::build(Stream& stream, const Batch& batch, BatchRoute& route, bool training) {
  route.lookups = static_cast<int64_t>(batch.positions.size());
  route.merged = pooled_ != nullptr;
  if (!pooled_) {
    router_.build(stream, batch, route.rows, training);
    route.bags = route.rows.bags;
  } else {
    split(batch);
    Batch row_batch = batch;
    row_batch.offsets = row_offsets_;
    row_batch.positions = row_positions_;
    router_.build(stream, row_batch, route.rows, training);
    pooled_->build(stream, lookups_, batch.offsets.empty() && !partial_sums_, bag_is_partial_, route.pooled);
    merge_bags(stream, route);
  }
  if (!route.rows.guests.empty()) admission_->fill_guests(stream, route.rows.guests);
  if (training) sparse_copies_->build(stream, route.rows, route.copies);
  start_offloaded(stream, route, training);
}

/// Lists the rows of the slower store, begins to read them, and turns their slots into those of the batch.
void EmbeddingExchange::start_offloaded(Stream& stream, BatchRoute& route, bool training) {
  const auto each_list = [&](const auto& f) {  // f(slots, how many are in device memory, how many there are)
    for (RowList& list : route.rows.lists) f(list.slots, list.device, list.here);
    if (pooled_) f(route.pooled.rows.slots, route.pooled.rows.device, route.pooled.rows.count);
    for (CopyRoute::Level& level : route.copies.levels)
      if (training) f(level.final_slots, level.final_device, level.final_count);
  };
  offloaded_slots_.clear();
  each_list([&](Mirrored<int64_t>& slots, int64_t device, int64_t count) {
    offloaded_slots_.emplace_back(slots.data() + device, count - device);
  });
  route.offloaded.start(offloaded_, directory_.device_slots(), offloaded_slots_);
  each_list([&](Mirrored<int64_t>& slots, int64_t, int64_t count) { slots.upload(stream, count); });
}

void EmbeddingExchange::merge_bags(Stream& stream, BatchRoute& route) {
  const Route& rows = route.rows;
  const int64_t bags = rows.samples * rows.tables, parts = route.pooled.parts.asked.total;
  int32_t* part_offsets = part_offsets_.reserve(bags + 1);
  int32_t* part_items = part_items_.reserve(parts);
  host_.group(*host_stream_, route.pooled.bag_of_part.data(), parts, bags, part_offsets, part_items);
  const auto row_lookups = static_cast<int64_t>(row_positions_.size());
  const auto first_part = static_cast<int32_t>(rows.lists.back().count);
  int64_t* offsets = route.offsets.reserve(bags + 1);
  int32_t* row_of_lookup = route.row_of_lookup.reserve(row_lookups + parts);
  int64_t n = 0;
  for (int64_t bag = 0; bag < bags; ++bag) {
    offsets[bag] = n;
    for (int64_t l = row_offsets_[bag]; l < row_offsets_[static_cast<size_t>(bag) + 1]; ++l)
      row_of_lookup[n++] = rows.lists.back().row_of_request.data()[l];
    for (int32_t i = part_offsets[bag]; i < part_offsets[bag + 1]; ++i) row_of_lookup[n++] = first_part + part_items[i];
  }
  offsets[bags] = n;
  route.bags = {rows.samples, rows.tables, route.offsets.device(), route.row_of_lookup.device()};
  route.offsets.upload(stream, bags + 1);
  route.row_of_lookup.upload(stream, n);
}

void EmbeddingExchange::address_rows(Stream& stream, BatchRoute& route) {
  rows_.address_rows(stream, route.rows, route.offloaded.rows());
  if (!pooled_) return;
  const RowList& list = route.rows.lowest();
  const int64_t parts = route.pooled.parts.asked.total, dim = directory_.tables().dim();
  const float* vectors = route.pooled.vectors.reserve(parts * dim);
  const float** addresses = route.merged_addresses.reserve(list.count + parts);
  std::copy_n(list.addresses.data(), list.count, addresses);
  for (int64_t i = 0; i < parts; ++i) addresses[list.count + i] = vectors + i * dim;
  route.merged_addresses.upload(stream, list.count + parts);
}

void EmbeddingExchange::fetch(Stream& stream, BatchRoute& route, RowHalf half) {
  rows_.fetch(stream, route.rows, half);
  if (pooled_ && half == RowHalf::dirty) pooled_->fetch(stream, route.pooled, route.offloaded.rows());
}

void EmbeddingExchange::fetch(Stream& stream, BatchRoute& route) {
  address_rows(stream, route);
  fetch(stream, route, RowHalf::dirty);
}

void EmbeddingExchange::sum_own(Stream& stream, BatchRoute& route, const Matrix& bag_gradients, RowHalf half) {
  rows_.sum_own(stream, route.rows, bag_gradients, half);
}

void EmbeddingExchange::return_gradients(Stream& stream, BatchRoute& route, const Matrix& bag_gradients, RowHalf half) {
  rows_.return_gradients(stream, route.rows, half);
  updates_.clear();
  const RowStore offloaded = route.offloaded.rows();
  const ListHalf& held = route.rows.half_of(0, half);  // rows with one copy
  add_updates(updates_, store_, offloaded, held.slots, held.gradients.data(), held.device, held.here);
  if (!pooled_ || half == RowHalf::clean) return;
  pooled_->return_gradients(stream, route.pooled, bag_gradients);
  const RowList& rows = route.pooled.rows;
  add_updates(updates_, store_, offloaded, rows.slots.device(), rows.gradients.data(), rows.device, rows.here);
}

void EmbeddingExchange::return_gradients(Stream& stream, BatchRoute& route, const Matrix& bag_gradients) {
  sum_own(stream, route, bag_gradients, RowHalf::dirty);
  return_gradients(stream, route, bag_gradients, RowHalf::dirty);
}

void EmbeddingExchange::reduce_copies(Stream& stream, BatchRoute& route) {
  dense_copies_->reduce(stream, route.rows, updates_);
  sparse_copies_->reduce(stream, route.rows, route.copies, route.offloaded.rows(), updates_);
}

void EmbeddingExchange::update_rows(Stream& stream, const OptimizerStep& step) const {
  for (const auto& [store, slots, gradients, count] : updates_)
    backend_.update_rows(stream, step, store, slots, Matrix::f32(gradients, count, store.dim), count);
}

}  // namespace sparrow
