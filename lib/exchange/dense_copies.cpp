#include "exchange/dense_copies.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace sparrow {

namespace {

/// The tree of a group of ranks: their domains down to `level`, numbered anew.
Hierarchy hierarchy_of_group(const Hierarchy& all, const std::vector<int>& group, int level) {
  std::vector<std::vector<int>> domain_of;
  for (int l = 0; l <= level; ++l) {
    std::vector<int> numbers, domains;
    for (const int rank : group) {
      const int domain = all.domain(l, rank);
      const auto found = std::find(domains.begin(), domains.end(), domain);
      numbers.push_back(static_cast<int>(found - domains.begin()));
      if (found == domains.end()) domains.push_back(domain);
    }
    domain_of.push_back(numbers);
  }
  return Hierarchy(domain_of);
}

}  // namespace

DenseCopies::DenseCopies(const RankContext& context, const Directory& directory, const RowStore& store, DType wire)
    : backend_(context.backend), directory_(directory), store_(store) {
  const std::vector<char> dense = densely_reduced(directory.plan());
  for (size_t option = 0; option < dense.size(); ++option)
    if (dense[option]) make_block(context, static_cast<int>(option), wire);
}

/// Ranks with the same rows are those at the same place of their domain's ring.
void DenseCopies::make_block(const RankContext& context, int option, DType wire) {
  Comm& world = context.device_comm;
  const ResolvedOption& copies = directory_.plan().options[option];
  const Hierarchy& all = directory_.hierarchy();
  const auto& ring = copies.rings[all.domain(copies.level, world.rank())];
  const auto place = std::find(ring.begin(), ring.end(), world.rank()) - ring.begin();
  const bool in_ring = place < static_cast<int64_t>(ring.size());
  std::vector<int> ranks;
  if (in_ring)
    for (const auto& domain_ring : copies.rings) ranks.push_back(domain_ring[place]);
  std::sort(ranks.begin(), ranks.end());
  auto group = world.group(ranks);
  if (!in_ring) return;

  Block block(backend_);
  block.option = option;
  for (const auto& [first, count] : directory_.slots_of_option(option)) {
    block.runs.push_back({first, count, block.rows});
    block.rows += count;
  }
  block.group = std::move(group);
  block.all_reduce = std::make_unique<StagedAllReduce>(
      backend_, *block.group, hierarchy_of_group(all, ranks, copies.level), block.rows * store_.dim, wire);
  block.gradients = Array<float>(backend_, Memory::device, block.rows * store_.dim, MemoryPart::exchange);
  block.slots.reserve_exactly(block.rows);
  for (const auto& run : block.runs)
    for (int64_t i = 0; i < run.count; ++i) block.slots.data()[run.first_row + i] = run.first + i;
  std::sort(block.runs.begin(), block.runs.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto stream = backend_.make_stream();
  block.slots.upload(*stream, block.rows);
  backend_.synchronize(*stream);
  blocks_.push_back(std::move(block));
}

void DenseCopies::reserve(const ExchangeBounds& bounds) {
  int64_t touched = 0;
  for (const ListBounds& list : bounds.lists) touched = std::max(touched, list.here);
  for (Block& block : blocks_) block.touched_rows.reserve_exactly(touched);
}

Traffic DenseCopies::stage_traffic(int stage) const {
  Traffic total;
  for (const Block& block : blocks_)
    if (stage < block.all_reduce->comms().count()) total = total + block.all_reduce->comms().traffic(stage);
  return total;
}

void DenseCopies::reduce(Stream& stream, const Route& route, std::vector<RowUpdate>& updates) {
  for (Block& block : blocks_) {
    reduce(stream, route, block);
    updates.push_back({store_, block.slots.device(), block.gradients.data(), block.rows});
  }
}

/// The gradients of this rank's touched rows, in the block, summed over the group.
void DenseCopies::reduce(Stream& stream, const Route& route, Block& block) {
  const int level = directory_.plan().options[block.option].level;
  const RowList& list = route.lists[level];
  float* gradients = route.half_of(level, RowHalf::dirty).gradients.data();
  backend_.zero(stream, block.gradients.data(), block.rows * store_.dim * 4);
  int64_t* touched_rows = block.touched_rows.reserve(list.here);
  block.touched.clear();
  for (int64_t row = 0; row < list.here; ++row) {
    if (directory_.option(list.keys.data()[row]) != block.option) continue;
    touched_rows[row] = block.row_of(list.slots.data()[row]);
    if (block.touched.empty() || block.touched.back().first + block.touched.back().count < row)
      block.touched.push_back({row, 0});
    ++block.touched.back().count;
  }
  block.touched_rows.upload(stream, list.here);
  const RowStore sums{block.gradients.data(), nullptr, block.rows, store_.dim, 0};
  for (const auto& [first, count] : block.touched)  // sums += gradients: a step of SGD at rate -1
    backend_.update_rows(stream, {OptimizerKind::sgd, -1.0f, 0.0f}, sums, block.touched_rows.device() + first,
                         Matrix::f32(gradients + first * store_.dim, count, store_.dim), count);
  block.all_reduce->sum(stream, block.gradients.data());
}

int64_t DenseCopies::Block::row_of(int64_t slot) const {
  auto run = std::upper_bound(runs.begin(), runs.end(), slot, [](int64_t s, const Run& r) { return s < r.first; });
  if (run == runs.begin() || slot >= (--run)->first + run->count)
    fail("slot {} is not among the rows of a dense option", slot);
  return run->first_row + slot - run->first;
}

}  // namespace sparrow
