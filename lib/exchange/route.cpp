#include "exchange/route.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace sparrow {

namespace {

void running_sum(const std::vector<int64_t>& counts, std::vector<int64_t>& offsets, int64_t& total) {
  total = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    offsets[i] = total;
    total += counts[i];
  }
}

}  // namespace

RowList::RowList(Backend& backend)
    : keys(backend, Memory::host),
      slots(backend, Memory::host),
      row_of_member(backend, Memory::host),
      group_offsets(backend, Memory::host),
      group_items(backend, Memory::host),
      addresses(backend, Memory::host),
      gradients(backend, Memory::device) {}

Route::Route(Backend& backend, std::span<const int> peers) : bag_offsets(backend, Memory::host) {
  for (const int size : peers) {
    const auto n = static_cast<size_t>(size);
    stages.push_back(
        {std::vector<int64_t>(n), std::vector<int64_t>(n), std::vector<int64_t>(n), std::vector<int64_t>(n), 0, 0});
  }
  for (size_t level = 0; level <= peers.size(); ++level) lists.emplace_back(backend);
}

StageComms::StageComms(Comm& world, const Hierarchy& hierarchy) {
  SPARROW_CHECK(world.size() == hierarchy.ranks(), "{} ranks run, the topology has {}", world.size(),
                hierarchy.ranks());
  for (int stage = 0; stage < hierarchy.depth(); ++stage) {
    const int domain = hierarchy.domain(stage, world.rank());
    comms_.push_back(world.split(domain, world.rank()));
    sizes_.push_back(comms_.back()->size());
    std::vector<int> peer(static_cast<size_t>(world.size()), -1);
    const auto& members = hierarchy.members(stage, domain);
    for (size_t i = 0; i < members.size(); ++i) peer[static_cast<size_t>(members[i])] = static_cast<int>(i);
    peer_of_.push_back(std::move(peer));
  }
}

Router::Router(Backend& backend, const Directory& directory, const StageComms& comms)
    : backend_(backend),
      directory_(directory),
      comms_(comms),
      keys_(backend, Memory::host),
      distinct_keys_(backend, Memory::host),
      requests_(backend, Memory::host),
      destination_(backend, Memory::host),
      order_(backend, Memory::host),
      order_offsets_(backend, Memory::host),
      place_(backend, Memory::host),
      send_keys_(backend, Memory::host),
      recv_keys_(backend, Memory::host) {
  int most = 0;
  for (const int size : comms.sizes()) most = std::max(most, size);
  for (auto* list : {&send_bytes_, &send_offsets_, &recv_bytes_, &recv_offsets_})
    list->resize(static_cast<size_t>(most));
  segments_.resize(static_cast<size_t>(directory.tables().count()) + 1);
  distinct_segments_.resize(segments_.size());
}

void Router::build(Stream& stream, const Batch& batch, Route& route) {
  const Tables& tables = directory_.tables();
  SPARROW_CHECK(batch.tables == tables.count(), "the batch has {} tables, the model {}", batch.tables, tables.count());
  const auto lookups = static_cast<int64_t>(batch.positions.size());
  SPARROW_CHECK(lookups < std::numeric_limits<int32_t>::max(), "{} lookups in one rank's part of a batch", lookups);

  int64_t* keys = keys_.reserve(lookups);
  for (int t = 0; t < tables.count(); ++t) {
    const int64_t begin = batch.first_lookup(t), end = batch.first_lookup(t + 1), shift = tables.first_key(t);
    segments_[static_cast<size_t>(t)] = begin;
    for (int64_t l = begin; l < end; ++l) keys[l] = batch.positions[static_cast<size_t>(l)] + shift;
  }
  segments_.back() = lookups;

  const int depth = directory_.hierarchy().depth();
  collect(stream, depth, keys, segments_, route.lowest(), depth > 0 ? &route.stages.back() : nullptr);

  route.samples = batch.samples;
  route.tables = batch.tables;
  route.bags = {batch.samples, batch.tables, nullptr, route.lowest().row_of_member.data()};
  if (!batch.offsets.empty()) {
    int64_t* offsets = route.bag_offsets.reserve(static_cast<int64_t>(batch.offsets.size()));
    std::copy(batch.offsets.begin(), batch.offsets.end(), offsets);
    route.bags.offsets = offsets;
    int32_t* items = route.lowest().group_items.data();  // from lookups to their bags, in place
    backend_.lookup_bags(stream, route.bags, items, lookups, items);
  }

  for (int stage = depth - 1; stage >= 0; --stage) {
    StageCounts& counts = route.stages[static_cast<size_t>(stage)];
    const int64_t* requests = ask(stream, stage, route.lists[static_cast<size_t>(stage) + 1], counts);
    const int64_t segments[] = {0, counts.requested_total};
    collect(stream, stage, requests, segments, route.lists[static_cast<size_t>(stage)],
            stage > 0 ? &route.stages[static_cast<size_t>(stage) - 1] : nullptr);
  }
}

/// Distinct rows of `keys`, here first, then by whom to ask at the next stage (level - 1; none at level 0).
void Router::collect(Stream& stream, int level, const int64_t* keys, std::span<const int64_t> segments, RowList& list,
                     StageCounts* counts) {
  const int64_t members = segments.back();
  int64_t* distinct = distinct_keys_.reserve(members);
  int32_t* row_of_member = list.row_of_member.reserve(members);
  backend_.distinct(stream, keys, segments, distinct, distinct_segments_.data(), row_of_member);
  backend_.synchronize(stream);
  list.members = members;
  list.count = distinct_segments_[segments.size() - 1];
  int64_t* row_keys = list.keys.reserve(list.count);

  if (counts == nullptr) {  // the top: everything that comes this far is held here
    list.here = list.count;
    std::copy_n(distinct, list.count, row_keys);
  } else {
    const int stage = level - 1;
    const auto peers = static_cast<int64_t>(counts->asked.size());
    int32_t* destination = destination_.reserve(list.count);
    for (int64_t i = 0; i < list.count; ++i) {
      const int rank = directory_.ask(stage, distinct[i]);
      destination[i] = rank < 0 ? 0 : comms_.peer(stage, rank) + 1;
    }
    int32_t* offsets = order_offsets_.reserve(peers + 2);
    int32_t* order = order_.reserve(list.count);
    backend_.group(stream, destination, list.count, peers + 1, offsets, order);
    backend_.synchronize(stream);
    list.here = offsets[1];
    for (int64_t p = 0; p < peers; ++p) counts->asked[static_cast<size_t>(p)] = offsets[p + 2] - offsets[p + 1];
    running_sum(counts->asked, counts->asked_offsets, counts->asked_total);
    int32_t* place = place_.reserve(list.count);
    for (int64_t i = 0; i < list.count; ++i) {
      row_keys[i] = distinct[order[i]];
      place[order[i]] = static_cast<int32_t>(i);
    }
    for (int64_t m = 0; m < members; ++m) row_of_member[m] = place[row_of_member[m]];
  }

  int64_t* slots = list.slots.reserve(list.here);
  for (int64_t i = 0; i < list.here; ++i) slots[i] = directory_.slot(row_keys[i]);
  list.groups = {list.count, list.group_offsets.reserve(list.count + 1), list.group_items.reserve(members)};
  backend_.group(stream, row_of_member, members, list.count, list.group_offsets.data(), list.group_items.data());
  backend_.synchronize(stream);
}

/// Sends the keys asked for at a stage and returns those requested of this rank, by the rank that asks.
const int64_t* Router::ask(Stream& stream, int stage, const RowList& list, StageCounts& counts) {
  Comm& comm = comms_[stage];
  const auto peers = static_cast<size_t>(comm.size());
  const auto first = [peers](std::vector<int64_t>& list_of) { return std::span<int64_t>(list_of).first(peers); };
  const auto sb = first(send_bytes_), so = first(send_offsets_), rb = first(recv_bytes_), ro = first(recv_offsets_);

  for (size_t p = 0; p < peers; ++p) {
    sb[p] = rb[p] = 8;
    so[p] = ro[p] = static_cast<int64_t>(8 * p);
  }
  AllToAll exchange;
  exchange.phase = Phase::ids;
  exchange.send = reinterpret_cast<const std::byte*>(counts.asked.data());
  exchange.recv = reinterpret_cast<std::byte*>(counts.requested.data());
  exchange.send_bytes = sb, exchange.send_offsets = so, exchange.recv_bytes = rb, exchange.recv_offsets = ro;
  comm.wait(comm.post(&stream, exchange));
  for (const int64_t n : counts.requested) SPARROW_CHECK(n >= 0 && n <= std::numeric_limits<int32_t>::max());
  running_sum(counts.requested, counts.requested_offsets, counts.requested_total);

  const int64_t key_bytes = directory_.tables().key_bytes();
  for (size_t p = 0; p < peers; ++p) {
    sb[p] = counts.asked[p] * key_bytes, so[p] = counts.asked_offsets[p] * key_bytes;
    rb[p] = counts.requested[p] * key_bytes, ro[p] = counts.requested_offsets[p] * key_bytes;
  }
  const int64_t* keys = list.keys.data() + list.here;
  int64_t* requests = requests_.reserve(counts.requested_total);
  if (key_bytes == 8) {
    exchange.send = reinterpret_cast<const std::byte*>(keys);
    exchange.recv = reinterpret_cast<std::byte*>(requests);
    comm.wait(comm.post(&stream, exchange));
  } else {
    uint32_t* send = send_keys_.reserve(counts.asked_total);
    uint32_t* recv = recv_keys_.reserve(counts.requested_total);
    for (int64_t i = 0; i < counts.asked_total; ++i) send[i] = static_cast<uint32_t>(keys[i]);
    exchange.send = reinterpret_cast<const std::byte*>(send);
    exchange.recv = reinterpret_cast<std::byte*>(recv);
    comm.wait(comm.post(&stream, exchange));
    for (int64_t i = 0; i < counts.requested_total; ++i) requests[i] = recv[i];
  }
  for (int64_t i = 0; i < counts.requested_total; ++i)
    SPARROW_CHECK(requests[i] >= 0 && requests[i] < directory_.tables().total_rows(), "rank asked for row {}",
                  requests[i]);
  return requests;
}

}  // namespace sparrow
