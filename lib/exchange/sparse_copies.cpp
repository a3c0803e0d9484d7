#include "exchange/sparse_copies.hpp"

#include <algorithm>

namespace sparrow {

CopyRoute::Level::Level(Backend& backend)
    : merged(backend),
      own(backend),
      received(backend, Memory::device),
      delivered(backend, Memory::host),
      sums(backend, Memory::device),
      sent_rows(backend),
      final_rows(backend),
      final_slots(backend),
      final_sums(backend, Memory::device) {}

CopyRoute::CopyRoute(Backend& backend, std::span<const int> peers) {
  for (const int size : peers) {
    up.emplace_back(size);
    down.emplace_back(size);
  }
  for (size_t level = 0; level <= peers.size(); ++level) levels.emplace_back(backend);
}

SparseCopies::SparseCopies(const RankContext& context, const Directory& directory, const StageComms& comms,
                           const RowStore& store, RowTransfer& transfer)
    : backend_(context.backend),
      directory_(directory),
      comms_(comms),
      store_(store),
      transfer_(transfer),
      dim_(store.dim),
      maker_(context.host, 1),
      key_exchange_(context.host, directory.tables()),
      keys_(context.host, Memory::host),
      down_rows_(context.host, Memory::host) {
  const auto& options = directory.plan().options;
  const std::vector<char> used = directory.plan().options_in_use(), dense = densely_reduced(directory.plan());
  for (size_t o = 0; o < options.size(); ++o) {
    sparse_.push_back(used[o] && options[o].level > 0 && !dense[o]);
    needed_ = needed_ || sparse_[o];
  }
}

void SparseCopies::build(Stream& stream, const Route& route, CopyRoute& copies) {
  if (!needed_) {  // what an earlier plan left there is no row of this batch
    for (CopyRoute::Level& level : copies.levels) level.final_count = level.final_device = 0;
    return;
  }
  for (int level = depth(); level >= 0; --level) list_up(level, route, copies);
  CopyRoute::Level& root = copies.levels[0];
  root.delivered_count = root.merged.count;
  std::copy_n(root.merged.keys.data(), root.merged.count, root.delivered.reserve(root.merged.count));
  for (int stage = 0; stage < depth(); ++stage) list_down(stage, copies);
  for (size_t level = 0; level < copies.levels.size(); ++level) {
    CopyRoute::Level& at = copies.levels[level];
    at.merged.upload(stream);
    at.own.upload(stream, at.own_count);
    at.final_rows.upload(stream, at.final_count);
    if (level < copies.down.size()) at.sent_rows.upload(stream, copies.down[level].asked.total);
  }
}

/// What this rank merges at a level: what it is asked to at the stage of the level, and its own copies of the level
/// that were touched.
void SparseCopies::list_up(int level, const Route& route, CopyRoute& copies) {
  CopyRoute::Level& at = copies.levels[level];
  std::span<const int64_t> requests;
  if (level < depth()) {
    const RowList& below = copies.levels[static_cast<size_t>(level) + 1].merged;
    requests =
        key_exchange_.run(comms_.host(level), Phase::allreduce, below.keys.data() + below.here, copies.up[level]);
  }
  const RowList& list = route.lists[level];
  int64_t* keys = keys_.reserve(static_cast<int64_t>(requests.size()) + list.here);
  int64_t* end = std::copy(requests.begin(), requests.end(), keys);
  int64_t* own = at.own.reserve(list.here);
  at.own_count = 0;
  for (int64_t row = 0; row < list.here; ++row) {
    const int64_t key = list.keys.data()[row];
    if (!sparse_[directory_.option(key)]) continue;
    *end++ = key;
    own[at.own_count++] = row;
  }
  const int64_t segments[] = {0, end - keys};
  if (level == 0) return maker_.make_here(keys, segments, at.merged);
  const int domain = directory_.hierarchy().domain(level - 1, directory_.rank());
  const auto destination = [&](int64_t key) {
    return comms_.peer(level - 1, directory_.merger(key, level - 1, domain));
  };
  maker_.make(keys, segments, destination, &copies.up[static_cast<size_t>(level) - 1].asked, at.merged);
}

/// Which delivered rows go on to the mergers of the child domains; what comes in is what the next level was delivered.
void SparseCopies::list_down(int stage, CopyRoute& copies) {
  CopyRoute::Level& from = copies.levels[stage];
  CopyRoute::Level& to = copies.levels[static_cast<size_t>(stage) + 1];
  const Hierarchy& hierarchy = directory_.hierarchy();
  const auto& children = hierarchy.children(stage, hierarchy.domain(stage, directory_.rank()));
  const auto most = from.delivered_count * static_cast<int64_t>(children.size());
  int64_t* rows = down_rows_.reserve(most);
  int32_t* peers = maker_.destinations(most);
  int64_t n = 0;
  for (int64_t row = 0; row < from.delivered_count; ++row) {
    const int64_t key = from.delivered.data()[row];
    if (directory_.level(key) <= stage) continue;
    for (const int child : children) {
      rows[n] = row;
      peers[n++] = comms_.peer(stage, directory_.merger(key, stage + 1, child));
    }
  }
  const int32_t* order = maker_.order(n, &copies.down[stage].asked).items;
  int64_t* keys = keys_.reserve(n);
  int64_t* sent = from.sent_rows.reserve(n);
  for (int64_t i = 0; i < n; ++i) {
    sent[i] = rows[order[i]];
    keys[i] = from.delivered.data()[sent[i]];
  }
  const auto received = key_exchange_.run(comms_.host(stage), Phase::allreduce, keys, copies.down[stage]);
  to.delivered_count = static_cast<int64_t>(received.size());
  std::copy(received.begin(), received.end(), to.delivered.reserve(to.delivered_count));
  list_final(stage + 1, copies);
}

/// Which delivered rows have their copy here.
void SparseCopies::list_final(int level, CopyRoute& copies) {
  CopyRoute::Level& at = copies.levels[level];
  int64_t* rows = at.final_rows.reserve(at.delivered_count);
  int64_t* slots = at.final_slots.reserve(at.delivered_count);
  at.final_count = 0;
  for (const bool offloaded : {false, true}) {
    for (int64_t row = 0; row < at.delivered_count; ++row) {
      const int64_t key = at.delivered.data()[row];
      if (directory_.level(key) != level || directory_.offloaded(key) != offloaded) continue;
      rows[at.final_count] = row;
      slots[at.final_count++] = directory_.slot(key);
    }
    if (!offloaded) at.final_device = at.final_count;
    if (directory_.offloaded_slots() == 0) break;
  }
}

void SparseCopies::reduce(Stream& stream, const Route& route, CopyRoute& copies, const RowStore& offloaded,
                          std::vector<RowUpdate>& updates) {
  if (!needed_) {  // what an earlier plan left there is no row of this batch
    for (CopyRoute::Level& level : copies.levels) level.final_count = level.final_device = 0;
    return;
  }
  for (int level = depth(); level >= 0; --level) merge(stream, level, route, copies);
  // Copies must not differ by what travelled and what did not: every copy is updated with a sum that fits the wire.
  const RowList& all = copies.levels[0].merged;
  transfer_.round(stream, all.gradients.data(), all.count);
  for (int stage = 0; stage < depth(); ++stage) {
    deliver(stream, stage, copies);
    CopyRoute::Level& to = copies.levels[static_cast<size_t>(stage) + 1];
    if (to.final_count == 0) continue;
    float* sums = to.sums.data();
    if (to.final_count < to.delivered_count || to.final_device < to.final_count) {
      sums = to.final_sums.reserve(to.final_count * dim_);
      gather(stream, to.sums.data(), to.final_rows.device(), Matrix::f32(sums, to.final_count, dim_));
    }
    add_updates(updates, store_, offloaded, to.final_slots.device(), sums, to.final_device, to.final_count);
  }
}

/// Adds up what comes up at the stage of a level and this rank's own gradients.
void SparseCopies::merge(Stream& stream, int level, const Route& route, CopyRoute& copies) {
  CopyRoute::Level& at = copies.levels[level];
  const int64_t requested = level < depth() ? copies.up[level].requested.total : 0;
  float* received = at.received.reserve((requested + at.own_count) * dim_);
  if (level < depth()) {
    const StageCounts& counts = copies.up[level];
    const RowList& below = copies.levels[static_cast<size_t>(level) + 1].merged;
    const Matrix send = transfer_.outgoing(stream, below.gradients.data() + below.here * dim_, counts.asked.total);
    transfer_.exchange(stream, {comms_.device(level), Phase::allreduce, counts.asked, counts.requested}, send,
                       received);
  }
  // Rows with copies are dirty, and first in the list: they are the same rows of the half.
  gather(stream, route.half_of(level, RowHalf::dirty).gradients.data(), at.own.device(),
         Matrix::f32(received + requested * dim_, at.own_count, dim_));
  backend_.sum_rows(stream, at.merged.groups, Matrix::f32(received, requested + at.own_count, dim_),
                    Matrix::f32(at.merged.gradients.reserve(at.merged.count * dim_), at.merged.count, dim_));
}

/// Sends sums on, and takes those that come in into the next level.
void SparseCopies::deliver(Stream& stream, int stage, CopyRoute& copies) {
  const CopyRoute::Level& from = copies.levels[stage];
  CopyRoute::Level& to = copies.levels[static_cast<size_t>(stage) + 1];
  const StageCounts& counts = copies.down[stage];
  const Matrix send = transfer_.outgoing(counts.asked.total);
  gather(stream, stage == 0 ? from.merged.gradients.data() : from.sums.data(), from.sent_rows.device(), send);
  transfer_.exchange(stream, {comms_.device(stage), Phase::allreduce, counts.asked, counts.requested}, send,
                     to.sums.reserve(to.delivered_count * dim_));
}

void SparseCopies::gather(Stream& stream, float* rows, const int64_t* which, const Matrix& out) {
  backend_.gather_rows(stream, {rows, nullptr, 0, dim_, 0}, which, out.rows, out);
}

}  // namespace sparrow
