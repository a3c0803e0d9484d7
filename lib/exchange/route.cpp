#include "exchange/route.hpp"

#include <algorithm>

namespace sparrow {

RowSplit::RowSplit(Backend& backend, std::span<const int> peers) {
  for (const int size : peers) stages.push_back({StageCounts(size), StageCounts(size)});
  for (size_t level = 0; level <= peers.size(); ++level) dirty.emplace_back(backend, Memory::host);
}

ListHalf::ListHalf(Backend& backend)
    : gradients(backend, Memory::device), own_offsets(backend), own_items(backend), own_slots(backend) {}

void ListHalf::take_all(const RowList& list) {
  count = list.count, here = list.here, device = list.device;
  groups = list.groups;
  slots = list.slots.device();
}

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
    halves.push_back({ListHalf(backend), ListHalf(backend)});
  }
}

int64_t Route::dirty_rows() const {
  const int64_t rows = lists.back().count;
  const uint8_t* dirty = with_previous.dirty.back().data();
  return with_previous.known ? std::count(dirty, dirty + rows, uint8_t{1}) : rows;
}

Router::Router(Backend& host, const Directory& directory, const StageComms& comms, RowAdmission* admission)
    : host_(host),
      host_stream_(host.make_stream()),
      directory_(directory),
      comms_(comms),
      maker_(host, directory.tables().count()),
      key_exchange_(host, directory.tables()),
      admission_(admission),
      segments_(static_cast<size_t>(directory.tables().count()) + 1),
      keys_(host, Memory::host) {}

void Router::build(Stream& stream, const Batch& batch, Route& route, bool training) {
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
  route.bags = {batch.samples, batch.tables, nullptr, route.lowest().row_of_request.device()};
  if (!batch.offsets.empty()) {
    int64_t* offsets = route.bag_offsets.reserve(static_cast<int64_t>(batch.offsets.size()));
    std::copy(batch.offsets.begin(), batch.offsets.end(), offsets);
    route.bags.offsets = route.bag_offsets.device();
    int32_t* items = route.lowest().group_items.data();  // from lookups to their bags, in place
    host_.lookup_bags(*host_stream_, {batch.samples, batch.tables, offsets, nullptr}, items, lookups, items);
  }

  for (int stage = depth - 1; stage >= 0; --stage) {
    const RowList& below = route.lists[static_cast<size_t>(stage) + 1];
    const auto requests =
        key_exchange_.run(comms_.host(stage), Phase::ids, below.keys.data() + below.here, route.stages[stage]);
    const int64_t segments[] = {0, static_cast<int64_t>(requests.size())};
    collect(stage, requests.data(), segments, route);
  }
  for (int level = 0; level <= depth; ++level) find_slots(level, route);
  place_unknown(stream, training, route);
  route.with_previous.known = route.with_next.known = false;
  for (size_t level = 0; level < route.lists.size(); ++level) {
    route.lists[level].upload(stream);
    route.halves[level][index_of(RowHalf::dirty)].take_all(route.lists[level]);
  }
  route.bag_offsets.upload(stream, static_cast<int64_t>(batch.offsets.size()));
}

/// The list of `level` from the keys wanted there: here, or asked for at the stage above.
void Router::collect(int level, const int64_t* keys, std::span<const int64_t> segments, Route& route) {
  RowList& list = route.lists[level];
  if (level == 0 && directory_.offloaded_slots() == 0) {
    maker_.make_here(keys, segments, list);
  } else {
    const auto destination = [&](int64_t key) {
      const int rank = level > 0 ? directory_.ask(level - 1, key) : -1;
      if (rank >= 0) return comms_.peer(level - 1, rank);
      return directory_.offloaded(key) ? RowListMaker::kOffloaded : RowListMaker::kDevice;
    };
    maker_.make(keys, segments, destination, level > 0 ? &route.stages[static_cast<size_t>(level) - 1].asked : nullptr,
                list);
  }
}

/// Slots of a list's rows that are here. Only level 0 can have mapped rows.
void Router::find_slots(int level, Route& route) {
  RowList& list = route.lists[level];
  int64_t* slots = list.slots.reserve(list.here);
  for (int64_t i = 0; i < list.here; ++i) slots[i] = directory_.find_slot(list.keys.data()[i]);
}

/// Rows of list 0 that have no slot: they are trained for the first time, or guests.
void Router::place_unknown(Stream& stream, bool training, Route& route) {
  RowList& list = route.lists[0];
  int64_t* slots = list.slots.data();
  unknown_.clear();
  unknown_keys_.clear();
  for (int64_t i = 0; i < list.device; ++i) {
    if (slots[i] >= 0) continue;
    unknown_.push_back(i);
    unknown_keys_.push_back(list.keys.data()[i]);
  }
  route.guests.clear();
  if (training && !unknown_.empty()) {
    SPARROW_CHECK(admission_ != nullptr);
    admission_->admit(stream, unknown_keys_);
    for (size_t i = 0; i < unknown_.size(); ++i) slots[unknown_[i]] = directory_.slot(unknown_keys_[i]);
  } else if (!unknown_.empty()) {
    const auto guests = static_cast<int64_t>(unknown_.size());
    SPARROW_CHECK(guests <= directory_.guests(), "{} rows without a slot, planned were {}", guests,
                  directory_.guests());
    for (int64_t i = 0; i < guests; ++i) slots[unknown_[i]] = directory_.first_guest() + i;
    route.guests = unknown_keys_;
  }
  std::copy_n(slots, list.here, route.held_slots.reserve(list.here));
}

}  // namespace sparrow
