// Everything between the samples of a rank and the embedding rows of the system: routes, rows, pooled bags, gradients
// and copies, for any plan. The trainer sees only this.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "exchange/bag_exchange.hpp"
#include "exchange/copy_sync.hpp"
#include "exchange/fetched_route.hpp"
#include "exchange/row_exchange.hpp"

namespace sparrow {

/// The route of one batch.
struct BatchRoute {
  BatchRoute(Backend& backend, const StageComms& comms, int ranks);
  Route rows;            ///< lookups whose rows come to the samples
  CopyRoute copies;      ///< rows with several copies
  BagRoute pooled;       ///< lookups that are pooled at their holders
  FetchedRoute fetched;  ///< rows of this rank's slower store, among all of these
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
};

class EmbeddingExchange {
 public:
  /// Collective over the context's ranks. Everything passed by reference must outlive it. store: this rank's rows in
  /// device memory, in the directory's slots; fetched: its slower store, or null if the directory puts nothing there.
  EmbeddingExchange(const RankContext& context, const Directory& directory, const StageComms& comms,
                    const RowStore& store, FetchedRows* fetched, DType wire);

  /// Collective: the directory follows a plan with other options or transports. (Where rows move from one to another,
  /// nothing needs to be done.) Between batches; all routes are to be built anew.
  void replan();

  /// Collective. Finds the rows of this rank's part of a batch, and begins to read those of the slower store; training:
  /// gradients will be returned too. The batch that used `route` before must be finished.
  void build(Stream& stream, const Batch& batch, BatchRoute& route, bool training);
  /// Waits for the rows of the slower store. Before fetch.
  void load(BatchRoute& route) { route.fetched.load(); }
  /// Collective. Afterwards route.bags and route.addresses() say where every row (or pooled part) is.
  void fetch(Stream& stream, BatchRoute& route);
  /// Collective. bag_gradients: (bags, dim).
  void return_gradients(Stream& stream, BatchRoute& route, const Matrix& bag_gradients);
  /// Collective, after return_gradients: sums over copies.
  void reduce_copies(Stream& stream, BatchRoute& route);
  /// After reduce_copies: rows to update at this rank, each exactly once; valid until the next build.
  std::span<const RowUpdate> updates() const { return updates_; }
  /// The batch is done with the rows of the slower store; updated: they go back to it.
  void finish(BatchRoute& route, bool updated) { route.fetched.finish(updated); }

  /// Bytes of a stage that its communicator does not count.
  Traffic stage_traffic(int stage) const {
    return retired_[static_cast<size_t>(stage)] + copies_->stage_traffic(stage);
  }

 private:
  void split(const Batch& batch);
  void merge_bags(Stream& stream, BatchRoute& route);
  void place_rows(Stream& stream, BatchRoute& route, bool training);
  void add_update(const RowList& rows, const RowStore& fetched);

  RankContext context_;
  Backend& backend_;
  Backend& host_;
  std::unique_ptr<Stream> host_stream_;
  const Directory& directory_;
  const StageComms& comms_;
  RowStore store_;
  FetchedRows* fetched_;
  DType wire_;
  Router router_;
  RowExchange rows_;
  std::unique_ptr<CopySync> copies_;
  std::unique_ptr<BagExchange> pooled_;  ///< only if some table is pooled
  std::vector<Traffic> retired_;         ///< by stage: of copies_ under earlier plans
  std::vector<RowUpdate> updates_;
  // The part of a batch that is not pooled, and the part that is:
  std::vector<int64_t> row_offsets_, row_positions_;
  std::vector<BagExchange::Lookup> lookups_;
  std::vector<char> bag_is_partial_;
  bool partial_sums_ = false;  ///< some table moves them
  Scratch<int32_t> part_offsets_, part_items_;
};

}  // namespace sparrow
