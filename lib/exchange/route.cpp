#include "exchange/route.hpp"

#include <algorithm>
#include <limits>

namespace sparrow {

Route::Route(Backend& backend, std::span<const int> peers)
    : bag_offsets(backend),
      held_slots(backend, Memory::host),
      with_previous(backend, peers),
      with_next(backend, peers) {
  for (const int size : peers) {
    stages.emplace_back(size);
    received.emplace_back(backend);
  }
  for (size_t level = 0; level <= peers.size(); ++level) {
    lists.emplace_back(backend);
    parts.push_back({ListPart(backend), ListPart(backend)});
  }
}

int64_t Route::dirty_rows() const {
  const int64_t rows = lists.back().count;
  const uint8_t* dirty = with_previous.shared.back().data();
  return with_previous.known ? std::count(dirty, dirty + rows, uint8_t{1}) : rows;
}

Router::Router(Backend& host, const Directory& directory, const StageComms& comms)
    : host_(host),
      host_stream_(host.make_stream()),
      directory_(directory),
      comms_(comms),
      maker_(host, directory.tables().key_bytes(), directory.tables().count()),
      segments_(static_cast<size_t>(directory.tables().count()) + 1),
      keys_(host, Memory::host) {}

void Router::build(Stream& stream, const Batch& batch, Route& route) {
  const Tables& tables = directory_.tables();
  SPARROW_CHECK(batch.tables == tables.count(), "the batch has {} tables, the model {}", batch.tables, tables.count());
  const auto lookups = static_cast<int64_t>(batch.positions.size());
  int64_t* keys = keys_.reserve(lookups);
  for (int t = 0; t < tables.count(); ++t) {
    const int64_t begin = batch.first_lookup(t), end = batch.first_lookup(t + 1), shift = tables.first_key(t);
    segments_[t] = begin;
    for (int64_t l = begin; l < end; ++l) keys[l] = batch.positions[l] + shift;
  }
  segments_.back() = lookups;

  const int depth = directory_.hierarchy().depth();
  collect(depth, keys, segments_, route);
  route.samples = batch.samples;
  route.tables = batch.tables;
  route.bags = {batch.samples, batch.tables, nullptr, route.lowest().row_of_member.device()};
  if (!batch.offsets.empty()) {
    int64_t* offsets = route.bag_offsets.reserve(static_cast<int64_t>(batch.offsets.size()));
    std::copy(batch.offsets.begin(), batch.offsets.end(), offsets);
    route.bags.offsets = route.bag_offsets.device();
    int32_t* items = route.lowest().group_items.data();  // from lookups to their bags, in place
    host_.lookup_bags(*host_stream_, {batch.samples, batch.tables, offsets, nullptr}, items, lookups, items);
  }

  for (int stage = depth - 1; stage >= 0; --stage) {
    const RowList& list = route.lists[static_cast<size_t>(stage) + 1];
    StageCounts& counts = route.stages[stage];
    const auto requests =
        maker_.exchange_keys(comms_.host(stage), Phase::ids, list.keys.data() + list.here, tables.total_rows(), counts);
    const int64_t segments[] = {0, counts.requested_total};
    collect(stage, requests.data(), segments, route);
  }
  for (RowList& list : route.lists) list.upload(stream);
  route.bag_offsets.upload(stream, static_cast<int64_t>(batch.offsets.size()));
}

/// The list of `level` from the keys wanted there: here, or asked for at the stage above.
void Router::collect(int level, const int64_t* keys, std::span<const int64_t> segments, Route& route) {
  RowList& list = route.lists[level];
  const std::span<const int64_t> distinct = maker_.distinct(keys, segments, list);
  if (level == 0 && directory_.offloaded_slots() == 0) {
    maker_.arrange_here(list);
  } else {
    const std::span<int32_t> destinations = maker_.destinations(list.count);
    for (size_t i = 0; i < distinct.size(); ++i) {
      const int rank = level > 0 ? directory_.ask(level - 1, distinct[i]) : -1;
      if (rank >= 0)
        destinations[i] = comms_.peer(level - 1, rank);
      else
        destinations[i] = directory_.offloaded(distinct[i]) ? RowListMaker::kOffloaded : RowListMaker::kDevice;
    }
    maker_.arrange(list, level > 0 ? &route.stages[static_cast<size_t>(level) - 1] : nullptr);
  }
  int64_t* slots = list.slots.reserve(list.here);
  for (int64_t i = 0; i < list.here; ++i) slots[i] = directory_.slot(list.keys.data()[i]);
  if (level == 0) std::copy_n(slots, list.here, route.held_slots.reserve(list.here));
}

}  // namespace sparrow
