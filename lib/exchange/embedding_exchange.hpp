// Everything between the samples of a rank and the embedding rows of the system: routes, rows, pooled bags, gradients
// and copies, for any plan. The trainer sees only this.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "exchange/bag_exchange.hpp"
#include "exchange/dense_copies.hpp"
#include "exchange/offloaded_route.hpp"
#include "exchange/row_exchange.hpp"
#include "exchange/row_halves.hpp"
#include "exchange/sparse_copies.hpp"
#include "store/row_admission.hpp"

namespace sparrow {

/// The route of one batch.
struct BatchRoute {
  /// peers[s]: ranks of stage s's communicator; ranks: of the system.
  BatchRoute(Backend& backend, std::span<const int> peers, int ranks);
  Route rows;                ///< lookups whose rows come to the samples
  CopyRoute copies;          ///< rows with several copies, reduced sparsely
  BagRoute pooled;           ///< lookups that are pooled at their holders
  OffloadedRoute offloaded;  ///< rows of this rank's slower store, among all of these
  int64_t lookups = 0;
  Bags bags;  ///< all bags, in terms of addresses(), in device memory
  // Where some tables are pooled, what the model sees is put together here: a bag's rows, then its part vectors.
  Mirrored<int64_t> offsets;
  Mirrored<int32_t> row_of_lookup;
  Mirrored<const float*> merged_addresses;
  /// In device memory.
  const float* const* addresses() const {
    return merged ? merged_addresses.device() : rows.lists.back().addresses.device();
  }
  bool merged = false;

  /// As RowList::reserve.
  void reserve(const ExchangeBounds& bounds) {
    rows.reserve(bounds);
    copies.reserve(bounds);
    pooled.reserve(bounds);
    if (!bounds.pooled.any) return;
    offsets.reserve_exactly(bounds.bags + 1);
    row_of_lookup.reserve_exactly(bounds.lookups + bounds.pooled.asked);
    merged_addresses.reserve_exactly(bounds.lists.back().count + bounds.pooled.asked);
  }
};

class EmbeddingExchange {
 public:
  /// Collective over the context's ranks. Everything passed by reference must outlive it. store: this rank's rows in
  /// device memory, in the directory's slots; offloaded: its slower store, or null if the directory puts nothing there.
  /// admission: of mapped rows; null where there are none.
  EmbeddingExchange(const RankContext& context, const Directory& directory, const StageComms& comms,
                    const RowStore& store, OffloadedRows* offloaded, DType wire, RowAdmission* admission = nullptr);

  /// Takes the device memory that batches within the bounds share, for the plan in force.
  void reserve(const ExchangeBounds& bounds);

  /// Collective: the directory follows a plan with other options or transports. (Where rows move from one to another,
  /// nothing needs to be done.) Between batches; all routes are to be built anew.
  void replan();

  /// Collective. Finds the rows of this rank's part of a batch, and begins to read those of the slower store; training:
  /// gradients will be returned too. The batch that used `route` before must be finished. The batch is not divided: all
  /// of its rows count as dirty.
  void build(Stream& stream, const Batch& batch, BatchRoute& route, bool training);
  /// Collective, for consecutive batches, both built, before address_rows of `next`: divides the gradients of `batch`
  /// and the rows of `next` into halves (row_halves.hpp).
  void divide(Stream& stream, BatchRoute& batch, BatchRoute& next) { divider_.divide(stream, batch.rows, next.rows); }
  /// Afterwards route.bags and route.addresses() say where every row (or pooled part) will be.
  void address_rows(Stream& stream, BatchRoute& route);
  /// Waits for rows of the slower store: of a batch that is not divided, all; else those that batch `before`, which is
  /// under way, does not use (clean), or those that it does, as passed on by it (dirty).
  void load(BatchRoute& route) { route.offloaded.load(); }
  void load_clean(BatchRoute& route, const BatchRoute& before) { route.offloaded.load_clean(before.offloaded); }
  void load_dirty(BatchRoute& route) { route.offloaded.load_dirty(); }
  /// Collective, after address_rows and load: brings one half of the rows, as they are now. Pooled parts come with the
  /// dirty half.
  void fetch(Stream& stream, BatchRoute& route, RowHalf half);
  /// address_rows and fetch of a batch that is not divided.
  void fetch(Stream& stream, BatchRoute& route);

  /// Adds up this rank's own gradients of one half. bag_gradients: (bags, dim), read until `stream` has passed this
  /// and, for the dirty half, return_gradients.
  void sum_own(Stream& stream, BatchRoute& route, const Matrix& bag_gradients, RowHalf half);
  /// Collective, after sum_own: to the holders. Fills updates(). Pooled parts go with the dirty half.
  void return_gradients(Stream& stream, BatchRoute& route, const Matrix& bag_gradients, RowHalf half);
  /// sum_own and return_gradients of a batch that is not divided.
  void return_gradients(Stream& stream, BatchRoute& route, const Matrix& bag_gradients);
  /// Collective, after return_gradients of the dirty half: sums over copies. Adds to updates().
  void reduce_copies(Stream& stream, BatchRoute& route);
  /// Rows to update at this rank, each exactly once; valid until the next return_gradients.
  std::span<const RowUpdate> updates() const { return updates_; }
  void update_rows(Stream& stream, const OptimizerStep& step) const;
  /// Of the slower store: hands rows that are updated already on to the batch that follows.
  void pass_on(BatchRoute& route) { route.offloaded.pass_on(); }
  /// The batch is done with the rows of the slower store; updated: they go back to it.
  void finish(BatchRoute& route, bool updated) { route.offloaded.finish(updated); }
  /// Waits until everything that went back to the slower store is there.
  void drain_store() {
    if (offloaded_) offloaded_->drain();
  }
  StoreTraffic store_traffic() const { return offloaded_ ? offloaded_->traffic() : StoreTraffic{}; }

  /// Bytes of a stage that its communicator does not count.
  Traffic stage_traffic(int stage) const { return retired_[stage] + dense_copies_->stage_traffic(stage); }

 private:
  void split(const Batch& batch);
  void merge_bags(Stream& stream, BatchRoute& route);
  void start_offloaded(Stream& stream, BatchRoute& route, bool training);

  RankContext context_;
  Backend& backend_;
  Backend& host_;
  std::unique_ptr<Stream> host_stream_;
  const Directory& directory_;
  const StageComms& comms_;
  RowStore store_;
  OffloadedRows* offloaded_;
  RowAdmission* admission_;
  DType wire_;
  Router router_;
  RowDivider divider_;
  RowTransfer transfer_;  ///< of rows, gradients and sums of every kind: they follow one another on one stream
  RowExchange rows_;
  std::unique_ptr<DenseCopies> dense_copies_;
  std::unique_ptr<SparseCopies> sparse_copies_;
  std::unique_ptr<BagExchange> pooled_;  ///< only if some table is pooled
  std::vector<Traffic> retired_;         ///< by stage: of dense_copies_ under earlier plans
  std::vector<RowUpdate> updates_;
  std::vector<std::span<int64_t>> offloaded_slots_;  ///< by list of a route
  // The part of a batch that is not pooled, and the part that is:
  std::vector<int64_t> row_offsets_, row_positions_;
  std::vector<BagExchange::Lookup> lookups_;
  std::vector<char> bag_is_partial_;
  bool partial_sums_ = false;  ///< some table moves them
  Scratch<int32_t> part_offsets_, part_items_;
};

}  // namespace sparrow
