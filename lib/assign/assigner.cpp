#include "assign/assigner.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "assign/assigner_division.hpp"
#include "assign/assigner_nodes.hpp"
#include "base/error.hpp"
#include "base/random.hpp"

namespace sparrow {

AssignerTree AssignerTree::flat(int ranks) {
  AssignerTree tree{{std::vector<int>(ranks, 0), std::vector<int>(ranks)}, {}};
  std::iota(tree.domain_of[1].begin(), tree.domain_of[1].end(), 0);
  return tree;
}

struct Assigner::State {
  State(AssignerTree of, const AssignerOptions& options) : tree(std::move(of)), nodes(tree), division(options) {}

  void begin(const AssignerBatch& batch);
  void order_samples(int level);
  void divide(const AssignerBatch& batch, int level, int node);
  void choose_nodes(const AssignerBatch& batch, int level);

  const AssignerTree tree;
  const AssignerNodes nodes;
  Division division;
  std::vector<int64_t> ranks_below;  ///< [nodes of a level]: those with a quota
  std::vector<int32_t> at;           ///< [samples]: node of the level
  std::vector<int32_t> future;       ///< [D]: node of the level that will hold a row that nobody holds
  std::vector<uint64_t> touched;     ///< [D]: children that look up such a row
  std::vector<int32_t> ordered;      ///< samples by node, ascending
  std::vector<int64_t> first;        ///< [nodes + 1] into these
  std::vector<int64_t> quota;        ///< by child
  std::vector<int16_t> as_read, child;
};

Assigner::Assigner(AssignerTree tree, const AssignerOptions& options)
    : state_(std::make_unique<State>(std::move(tree), options)) {}

Assigner::~Assigner() = default;

/// Everything at the root.
void Assigner::State::begin(const AssignerBatch& batch) {
  SPARROW_CHECK(batch.samples() >= 0 && std::ssize(batch.quota) == tree.ranks(), "{} quotas for {} ranks",
                batch.quota.size(), tree.ranks());
  SPARROW_CHECK(batch.holder.size() == batch.keys.size());
  SPARROW_CHECK(tree.depth() <= 1 || batch.turn.size() == batch.keys.size());
  int64_t sum = 0;
  for (const int64_t of_rank : batch.quota) {
    SPARROW_CHECK(of_rank >= 0);
    sum += of_rank;
  }
  SPARROW_CHECK(sum == batch.samples(), "quotas of {} samples for a batch of {}", sum, batch.samples());
  at.assign(batch.samples(), 0);
  future.assign(batch.keys.size(), 0);
}

void Assigner::State::order_samples(int level) {
  first.assign(nodes.nodes(level) + 1, 0);
  for (const int32_t node : at) ++first[node + 1];
  std::partial_sum(first.begin(), first.end(), first.begin());
  ordered.resize(at.size());
  for (size_t s = 0; s < at.size(); ++s) ordered[first[at[s]]++] = static_cast<int32_t>(s);
  for (int node = nodes.nodes(level); node > 0; --node) first[node] = first[node - 1];
  first[0] = 0;
}

void Assigner::State::divide(const AssignerBatch& batch, int level, int node) {
  const std::span<const int32_t> samples(ordered.data() + first[node], first[node + 1] - first[node]);
  quota.assign(nodes.children(level, node), 0);
  as_read.clear();
  for (const int rank : nodes.ranks(level, node)) {
    const int c = nodes.child_of(level, rank);
    quota[c] += batch.quota[rank];
    as_read.insert(as_read.end(), batch.quota[rank], static_cast<int16_t>(c));
  }
  child.resize(samples.size());
  division.run({nodes, batch, level, node, samples, quota, as_read, future}, child);
  for (size_t i = 0; i < samples.size(); ++i) at[samples[i]] = nodes.child_node(level, node, child[i]);
}

/// Of the rows that nobody holds and that will be held in a node of `level`: by which of its children. `at` is of the
/// next level. Children that look a row up are as likely as they have ranks.
void Assigner::State::choose_nodes(const AssignerBatch& batch, int level) {
  touched.assign(batch.keys.size(), 0);
  for (int64_t s = 0; s < batch.samples(); ++s) {
    const int32_t node = nodes.parent(level + 1, at[s]);
    const uint64_t here = uint64_t{1} << nodes.number_in_parent(level + 1, at[s]);
    for (int64_t i = batch.first[s]; i < batch.first[s + 1]; ++i) {
      const int32_t d = batch.rows[i];
      if (batch.holder[d] == AssignerBatch::kNobody && future[d] == node) touched[d] |= here;
    }
  }
  ranks_below.assign(nodes.nodes(level + 1), 0);
  for (int rank = 0; rank < tree.ranks(); ++rank) ranks_below[nodes.node_of(level + 1, rank)] += batch.quota[rank] > 0;
  for (size_t d = 0; d < batch.keys.size(); ++d) {
    if (touched[d] == 0) continue;
    const auto ranks_of = [&](uint64_t children) {
      return ranks_below[nodes.child_node(level, future[d], std::countr_zero(children))];
    };
    int64_t ranks = 0;
    for (uint64_t rest = touched[d]; rest != 0; rest &= rest - 1) ranks += ranks_of(rest);
    const uint64_t hash = mix64(static_cast<uint64_t>(batch.keys[d]) ^ static_cast<uint64_t>(level) << 56);
    auto turn = static_cast<int64_t>(hash % static_cast<uint64_t>(std::max<int64_t>(ranks, 1)));
    uint64_t rest = touched[d];
    for (; turn >= ranks_of(rest) && (rest & (rest - 1)) != 0; rest &= rest - 1) turn -= ranks_of(rest);
    future[d] = nodes.child_node(level, future[d], std::countr_zero(rest));
  }
}

void Assigner::assign(const AssignerBatch& batch, std::span<int16_t> rank_of_sample) {
  State& state = *state_;
  state.begin(batch);
  SPARROW_CHECK(std::ssize(rank_of_sample) == batch.samples());
  const AssignerNodes& nodes = state.nodes;
  for (int level = 0; level < nodes.depth(); ++level) {
    state.order_samples(level);
    for (int node = 0; node < nodes.nodes(level); ++node) state.divide(batch, level, node);
    if (level + 1 < nodes.depth()) state.choose_nodes(batch, level);
  }
  for (size_t s = 0; s < rank_of_sample.size(); ++s)
    rank_of_sample[s] = static_cast<int16_t>(nodes.rank_of_leaf(state.at[s]));
}

void Assigner::settle(const AssignerBatch& batch, std::span<const int16_t> rank_of_sample,
                      std::span<int16_t> holder) const {
  State& state = *state_;
  state.begin(batch);
  SPARROW_CHECK(std::ssize(rank_of_sample) == batch.samples() && holder.size() == batch.keys.size());
  const AssignerNodes& nodes = state.nodes;
  for (int level = 0; level < nodes.depth(); ++level) {
    for (size_t s = 0; s < rank_of_sample.size(); ++s) state.at[s] = nodes.node_of(level + 1, rank_of_sample[s]);
    state.choose_nodes(batch, level);
  }
  for (size_t d = 0; d < holder.size(); ++d)
    if (batch.holder[d] == AssignerBatch::kNobody)
      holder[d] = static_cast<int16_t>(nodes.rank_of_leaf(state.future[d]));
}

}  // namespace sparrow
