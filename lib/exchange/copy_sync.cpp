#include "exchange/copy_sync.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace sparrow {

CopyRoute::Level::Level(Backend& backend)
    : merged(backend),
      wanted(backend, Memory::host),
      own(backend),
      delivered(backend, Memory::host),
      final_rows(backend),
      final_slots(backend),
      sent_rows(backend),
      received(backend, Memory::device),
      sums(backend, Memory::device),
      final_sums(backend, Memory::device) {}

CopyRoute::CopyRoute(Backend& backend, std::span<const int> peers) {
  for (const int size : peers) {
    up.emplace_back(size);
    down.emplace_back(size);
  }
  for (size_t level = 0; level <= peers.size(); ++level) levels.emplace_back(backend);
}

CopySync::CopySync(const RankContext& context, const Directory& directory, const StageComms& comms,
                   const RowStore& store, DType wire)
    : backend_(context.backend),
      host_(context.host),
      host_stream_(context.host.make_stream()),
      directory_(directory),
      comms_(comms),
      store_(store),
      wire_(wire),
      dim_(directory.tables().dim()),
      maker_(context.host, directory.tables().key_bytes(), 1),
      down_rows_(context.host, Memory::host),
      down_peers_(context.host, Memory::host),
      down_offsets_(context.host, Memory::host),
      down_order_(context.host, Memory::host),
      send_keys_(context.host, Memory::host),
      addresses_(context.backend, Memory::device),
      send_(context.backend, Memory::device),
      recv_(context.backend, Memory::device) {
  const auto& options = directory.plan().options;
  sparse_option_.assign(options.size(), 0);
  const std::vector<char> used = directory.plan().options_in_use(), dense = densely_reduced(directory.plan());
  for (size_t o = 0; o < options.size(); ++o) {
    if (!used[o] || options[o].level == 0) continue;
    if (dense[o]) {
      make_dense(context, static_cast<int>(o));
    } else {
      sparse_option_[o] = 1;
      sparse_needed_ = true;
    }
  }
}

/// Rank sets with the same rows: those at the same place of their domain's ring.
void CopySync::make_dense(const RankContext& context, int option) {
  Comm& world = context.device_comm;
  const CopyOption& of = directory_.plan().options[option];
  const Hierarchy& all = directory_.hierarchy();
  const auto& ring = of.rings[all.domain(of.level, world.rank())];
  const auto place = std::find(ring.begin(), ring.end(), world.rank()) - ring.begin();
  const bool in_ring = place < static_cast<int64_t>(ring.size());
  std::vector<int> members;
  if (in_ring)
    for (const auto& domain_ring : of.rings) members.push_back(domain_ring[place]);
  std::sort(members.begin(), members.end());
  auto group = world.group(members);
  if (!in_ring) return;
  // The group's own tree: the domains of its ranks down to the copy level, numbered anew.
  std::vector<std::vector<int>> domain_of;
  for (int level = 0; level <= of.level; ++level) {
    std::vector<int> numbers, domains;
    for (const int member : members) {
      const int domain = all.domain(level, member);
      const auto found = std::find(domains.begin(), domains.end(), domain);
      numbers.push_back(static_cast<int>(found - domains.begin()));
      if (found == domains.end()) domains.push_back(domain);
    }
    domain_of.push_back(numbers);
  }
  Dense dense(backend_);
  dense.option = option;
  for (const auto& [first, count] : directory_.slots_of_option(option)) {
    dense.runs.push_back({first, count, dense.rows});
    dense.rows += count;
  }
  dense.group = std::move(group);
  dense.all_reduce =
      std::make_unique<StagedAllReduce>(backend_, *dense.group, Hierarchy(domain_of), dense.rows * dim_, wire_);
  dense.gradients = Array<float>(backend_, Memory::device, dense.rows * dim_, MemoryPart::exchange);
  dense.slots.reserve_exactly(dense.rows);
  int64_t* slots = dense.slots.data();
  for (const auto& run : dense.runs)
    for (int64_t i = 0; i < run.count; ++i) slots[run.block + i] = run.first + i;
  std::sort(dense.runs.begin(), dense.runs.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto stream = backend_.make_stream();
  dense.slots.upload(*stream, dense.rows);
  backend_.synchronize(*stream);
  dense_.push_back(std::move(dense));
}

void CopySync::reserve(const ExchangeBounds& bounds) {
  int64_t touched = 0, addresses = 0, send = 0, recv = 0;
  for (const ListBounds& list : bounds.lists) touched = std::max(touched, list.here);
  for (Dense& dense : dense_) dense.block_rows.reserve_exactly(touched);
  const int64_t converted_bytes = bounds.row_bytes < 4 * bounds.dim ? bounds.row_bytes : 0;  // of a row, on the wire
  for (size_t level = 0; level < bounds.copies.levels.size(); ++level) {
    const ExchangeBounds::Copies::Level& at = bounds.copies.levels[level];
    addresses = std::max({addresses, bounds.lists[level].here, at.delivered});
    send = std::max({send, at.merged.count * converted_bytes, at.sent * bounds.row_bytes});
    recv = std::max({recv, at.requested * converted_bytes, at.delivered * converted_bytes});
  }
  addresses_.reserve_exactly(addresses);
  send_.reserve_exactly(send);
  recv_.reserve_exactly(recv);
}

Traffic CopySync::stage_traffic(int stage) const {
  Traffic total;
  for (const Dense& dense : dense_)
    if (stage < dense.all_reduce->comms().count()) total = total + dense.all_reduce->comms().traffic(stage);
  return total;
}

void CopySync::build(Stream& stream, const Route& route, CopyRoute& copies) {
  if (!sparse_needed_) return;
  const int depth = directory_.hierarchy().depth();
  for (int level = depth; level >= 0; --level) build_up(level, route, copies);
  CopyRoute::Level& root = copies.levels[0];
  root.delivered_count = root.merged.count;
  std::copy_n(root.merged.keys.data(), root.merged.count, root.delivered.reserve(root.merged.count));
  for (int stage = 0; stage < depth; ++stage) build_down(stage, copies);
  for (size_t level = 0; level < copies.levels.size(); ++level) {
    CopyRoute::Level& at = copies.levels[level];
    at.merged.upload(stream);
    at.own.upload(stream, at.own_count);
    at.final_rows.upload(stream, at.final_count);
    if (level < copies.down.size()) at.sent_rows.upload(stream, copies.down[level].asked_total);
  }
}

/// What this rank merges at a level: what it is asked to at the stage of the level, and its own copies of the level
/// that were touched.
void CopySync::build_up(int level, const Route& route, CopyRoute& copies) {
  CopyRoute::Level& at = copies.levels[level];
  std::span<const int64_t> requests;
  if (level < directory_.hierarchy().depth()) {
    const RowList& below = copies.levels[static_cast<size_t>(level) + 1].merged;
    requests = maker_.exchange_keys(comms_.host(level), Phase::allreduce, below.keys.data() + below.here,
                                    directory_.tables().total_rows(), copies.up[level]);
  }
  const RowList& list = route.lists[level];
  const auto asked = static_cast<int64_t>(requests.size());
  int64_t* wanted = at.wanted.reserve(asked + list.here);
  int32_t* own = at.own.reserve(list.here);
  std::copy(requests.begin(), requests.end(), wanted);
  at.own_count = 0;
  for (int64_t i = 0; i < list.here; ++i)
    if (is_sparse(list.keys.data()[i])) {
      wanted[asked + at.own_count] = list.keys.data()[i];
      own[at.own_count++] = static_cast<int32_t>(i);
    }
  const int64_t segments[] = {0, asked + at.own_count};
  const std::span<const int64_t> distinct = maker_.distinct(wanted, segments, at.merged);
  if (level == 0) {
    maker_.arrange_here(at.merged);
    return;
  }
  const int above = directory_.hierarchy().domain(level - 1, directory_.rank());
  const std::span<int32_t> destinations = maker_.destinations(at.merged.count);
  for (size_t i = 0; i < distinct.size(); ++i)
    destinations[i] = comms_.peer(level - 1, directory_.merger(distinct[i], level - 1, above));
  maker_.arrange(at.merged, &copies.up[static_cast<size_t>(level) - 1]);
}

/// Which delivered rows go on to the mergers of the child domains; what comes in is what the next level was delivered.
void CopySync::build_down(int stage, CopyRoute& copies) {
  CopyRoute::Level& from = copies.levels[stage];
  CopyRoute::Level& to = copies.levels[static_cast<size_t>(stage) + 1];
  StageCounts& counts = copies.down[stage];
  const Hierarchy& hierarchy = directory_.hierarchy();
  const auto& children = hierarchy.children(stage, hierarchy.domain(stage, directory_.rank()));
  const auto most = from.delivered_count * static_cast<int64_t>(children.size());
  int32_t* rows = down_rows_.reserve(most);
  int32_t* peers = down_peers_.reserve(most);
  int64_t n = 0;
  for (int64_t i = 0; i < from.delivered_count; ++i) {
    const int64_t key = from.delivered.data()[i];
    if (directory_.level(key) <= stage) continue;
    for (const int child : children) {
      rows[n] = static_cast<int32_t>(i);
      peers[n++] = comms_.peer(stage, directory_.merger(key, stage + 1, child));
    }
  }
  const auto peer_count = static_cast<int64_t>(counts.asked.size());
  int32_t* offsets = down_offsets_.reserve(peer_count + 1);
  int32_t* order = down_order_.reserve(n);
  host_.group(*host_stream_, peers, n, peer_count, offsets, order);
  for (int64_t p = 0; p < peer_count; ++p) counts.asked[p] = offsets[p + 1] - offsets[p];
  counts.sum_asked();
  int64_t* keys = send_keys_.reserve(n);
  int32_t* sent = from.sent_rows.reserve(n);
  for (int64_t i = 0; i < n; ++i) {
    sent[i] = rows[order[i]];
    keys[i] = from.delivered.data()[sent[i]];
  }
  const auto received =
      maker_.exchange_keys(comms_.host(stage), Phase::allreduce, keys, directory_.tables().total_rows(), counts);
  to.delivered_count = static_cast<int64_t>(received.size());
  std::copy(received.begin(), received.end(), to.delivered.reserve(to.delivered_count));
  note_final(stage + 1, copies);
}

void CopySync::note_final(int level, CopyRoute& copies) {
  CopyRoute::Level& at = copies.levels[level];
  int32_t* rows = at.final_rows.reserve(at.delivered_count);
  int64_t* slots = at.final_slots.reserve(at.delivered_count);
  at.final_count = 0;
  for (const bool offloaded : {false, true}) {
    for (int64_t i = 0; i < at.delivered_count; ++i) {
      const int64_t key = at.delivered.data()[i];
      if (directory_.level(key) != level || directory_.offloaded(key) != offloaded) continue;
      rows[at.final_count] = static_cast<int32_t>(i);
      slots[at.final_count++] = directory_.slot(key);
    }
    if (!offloaded) at.final_device = at.final_count;
    if (directory_.offloaded_slots() == 0) break;
  }
}

void CopySync::reduce(Stream& stream, const Route& route, CopyRoute& copies, const RowStore& offloaded) {
  updates_.clear();
  for (Dense& dense : dense_) reduce_dense(stream, dense, route);
  if (!sparse_needed_) return;
  const int depth = directory_.hierarchy().depth();
  for (int level = depth; level >= 0; --level) merge(stream, level, route, copies);
  RowList& all = copies.levels[0].merged;
  if (wire_ != DType::f32) round_to_wire(stream, all.gradients.data(), all.count);
  for (int stage = 0; stage < depth; ++stage) deliver(stream, stage, copies, offloaded);
}

/// Copies must not differ by what travelled and what did not: every copy is updated with a sum that fits the wire.
void CopySync::round_to_wire(Stream& stream, float* values, int64_t rows) {
  const Matrix exact = Matrix::f32(values, rows, dim_);
  const Matrix rounded = Matrix::of(wire_, send_.reserve(rows * dim_ * size_of(wire_)), rows, dim_);
  backend_.convert(stream, exact, rounded);
  backend_.convert(stream, rounded, exact);
}

void CopySync::merge(Stream& stream, int level, const Route& route, CopyRoute& copies) {
  CopyRoute::Level& at = copies.levels[level];
  const int64_t row_bytes = dim_ * size_of(wire_);
  int64_t asked = 0;
  if (level < directory_.hierarchy().depth()) asked = copies.up[level].requested_total;
  float* received = at.received.reserve((asked + at.own_count) * dim_);
  if (level < directory_.hierarchy().depth()) {
    const StageCounts& counts = copies.up[level];
    RowList& below = copies.levels[static_cast<size_t>(level) + 1].merged;
    const Matrix exact = Matrix::f32(below.gradients.data() + below.here * dim_, counts.asked_total, dim_);
    const bool converted = wire_ != DType::f32;
    void* send = exact.data;
    void* recv = received;
    if (converted) {
      send = send_.reserve(counts.asked_total * row_bytes);
      recv = recv_.reserve(asked * row_bytes);
      backend_.convert(stream, exact, Matrix::of(wire_, send, counts.asked_total, dim_));
    }
    Comm& comm = comms_.device(level);
    comm.wait(transfer_.post(&stream, comm, Phase::allreduce, send, counts.asked, counts.asked_offsets, recv,
                             counts.requested, counts.requested_offsets, row_bytes, true));
    if (converted) backend_.convert(stream, Matrix::of(wire_, recv, asked, dim_), Matrix::f32(received, asked, dim_));
  }
  // Rows with copies are shared ones, and first in the list: their places in it are those in the part.
  const ListPart& own = route.part(level, RowHalf::shared);
  const float** addresses = addresses_.reserve(own.here);
  backend_.address_rows(stream, own.gradients.data(), nullptr, own.here, dim_, addresses);
  backend_.pack_rows(stream, addresses, at.own.device(), at.own_count,
                     Matrix::f32(received + asked * dim_, at.own_count, dim_));
  backend_.sum_rows(stream, at.merged.groups, Matrix::f32(received, asked + at.own_count, dim_),
                    Matrix::f32(at.merged.gradients.reserve(at.merged.count * dim_), at.merged.count, dim_));
}

void CopySync::deliver(Stream& stream, int stage, CopyRoute& copies, const RowStore& offloaded) {
  const CopyRoute::Level& from = copies.levels[stage];
  CopyRoute::Level& to = copies.levels[static_cast<size_t>(stage) + 1];
  const StageCounts& counts = copies.down[stage];
  const int64_t row_bytes = dim_ * size_of(wire_);
  const float** addresses = addresses_.reserve(std::max(from.delivered_count, to.delivered_count));
  const bool converted = wire_ != DType::f32;
  const float* whole = stage == 0 ? from.merged.gradients.data() : from.sums.data();
  float* sums = to.sums.reserve(to.delivered_count * dim_);
  void* send = send_.reserve(counts.asked_total * row_bytes);
  void* recv = sums;
  if (converted) recv = recv_.reserve(to.delivered_count * row_bytes);
  backend_.address_rows(stream, whole, nullptr, from.delivered_count, dim_, addresses);
  backend_.pack_rows(stream, addresses, from.sent_rows.device(), counts.asked_total,
                     Matrix::of(wire_, send, counts.asked_total, dim_));
  Comm& comm = comms_.device(stage);
  comm.wait(transfer_.post(&stream, comm, Phase::allreduce, send, counts.asked, counts.asked_offsets, recv,
                           counts.requested, counts.requested_offsets, row_bytes, true));
  if (converted)
    backend_.convert(stream, Matrix::of(wire_, recv, to.delivered_count, dim_),
                     Matrix::f32(sums, to.delivered_count, dim_));
  if (to.final_count == 0) return;
  const float* final_sums = sums;
  if (to.final_count < to.delivered_count || to.final_device < to.final_count) {
    backend_.address_rows(stream, sums, nullptr, to.delivered_count, dim_, addresses);
    float* packed = to.final_sums.reserve(to.final_count * dim_);
    backend_.pack_rows(stream, addresses, to.final_rows.device(), to.final_count,
                       Matrix::f32(packed, to.final_count, dim_));
    final_sums = packed;
  }
  const int64_t device = to.final_device, beyond = to.final_count - device;
  if (device > 0) updates_.push_back({store_, to.final_slots.device(), final_sums, device});
  if (beyond > 0) updates_.push_back({offloaded, to.final_slots.device() + device, final_sums + device * dim_, beyond});
}

/// The gradients of this rank's touched rows in a block of all its rows of the option, summed over the holders of the
/// same rows.
void CopySync::reduce_dense(Stream& stream, Dense& dense, const Route& route) {
  const int level = directory_.plan().options[dense.option].level;
  const RowList& list = route.lists[level];
  float* gradients = route.part(level, RowHalf::shared).gradients.data();
  backend_.zero(stream, dense.gradients.data(), dense.rows * dim_ * 4);
  int64_t* block_rows = dense.block_rows.reserve(list.here);
  dense.touched.clear();
  for (int64_t i = 0; i < list.here; ++i) {
    if (directory_.option(list.keys.data()[i]) != dense.option) continue;
    block_rows[i] = dense.block_row(list.slots.data()[i]);
    if (dense.touched.empty() || dense.touched.back().first + dense.touched.back().count < i)
      dense.touched.push_back({i, 0});
    ++dense.touched.back().count;
  }
  dense.block_rows.upload(stream, list.here);
  const RowStore block{dense.gradients.data(), nullptr, dense.rows, dim_, 0};
  for (const auto& [first, count] : dense.touched)  // block += gradients: a step of SGD at rate -1
    backend_.update_rows(stream, {OptimizerKind::sgd, -1.0f, 0.0f}, block, dense.block_rows.device() + first,
                         Matrix::f32(gradients + first * dim_, count, dim_), count);
  dense.all_reduce->sum(stream, dense.gradients.data());
  updates_.push_back({store_, dense.slots.device(), dense.gradients.data(), dense.rows});
}

int64_t CopySync::Dense::block_row(int64_t slot) const {
  auto run = std::upper_bound(runs.begin(), runs.end(), slot, [](int64_t s, const Run& r) { return s < r.first; });
  if (run == runs.begin() || slot >= (--run)->first + run->count)
    fail("slot {} is not among the rows of a dense option", slot);
  return run->block + slot - run->first;
}

}  // namespace sparrow
