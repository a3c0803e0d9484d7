// Trees: what moves at every stage is what directories do, and few rows enter nodes.
#include <catch2/catch.hpp>

#include "assign/assigner.hpp"
#include "layout/directory.hpp"
#include "test/assign/assigner_cases.hpp"
#include "test/support/hierarchies.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

AssignerTree tree_of(const Hierarchy& hierarchy) {
  AssignerTree tree;
  for (int level = 0; level <= hierarchy.depth(); ++level) {
    tree.domain_of.emplace_back();
    for (int rank = 0; rank < hierarchy.ranks(); ++rank) tree.domain_of.back().push_back(hierarchy.domain(level, rank));
    if (level == 0 || level == hierarchy.depth()) continue;
    tree.rings.emplace_back();
    for (int d = 0; d < hierarchy.domains(level); ++d) tree.rings.back().push_back(hierarchy.ring(level, d));
  }
  return tree;
}

/// nodes x ranks, or pods x nodes x ranks.
Hierarchy cluster(const std::vector<int>& sizes) {
  int ranks = 1;
  for (const int size : sizes) ranks *= size;
  std::vector<std::vector<int>> domain_of;
  for (int below = ranks, level = 0; level <= static_cast<int>(sizes.size()); ++level) {
    domain_of.emplace_back();
    for (int rank = 0; rank < ranks; ++rank) domain_of.back().push_back(rank / below);
    if (level < static_cast<int>(sizes.size())) below /= sizes[level];
  }
  return Hierarchy(domain_of);
}

/// Fewer at the first stage where they differ, or none more.
bool no_more(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  return a <= b;
}

struct Assigned {
  std::vector<int16_t> ranks, holder;
  AssignmentMoves moves, moves_as_read;
};

Assigned assign(const AssignerTree& tree, const BatchCase& c, const AssignerOptions& options = {2, 1}) {
  Assigned result{std::vector<int16_t>(c.samples()), c.holder, {}, {}};
  Assigner assigner(tree, options);
  assigner.assign(c.batch(), result.ranks);
  CHECK(counted(result.ranks, c.quota.size()) == c.quota);
  assigner.settle(c.batch(), result.ranks, result.holder);
  result.moves = count_moves(tree, c.batch(), result.ranks, result.holder);
  std::vector<int16_t> holder_as_read = c.holder;
  assigner.settle(c.batch(), as_read(c), holder_as_read);
  result.moves_as_read = count_moves(tree, c.batch(), as_read(c), holder_as_read);
  return result;
}

}  // namespace

TEST_CASE("MovesAreThoseOfDirectories") {
  std::mt19937 random(21);
  const Tables tables({300}, 4);
  for (const auto& [name, hierarchy] : hierarchies()) {
    const ResolvedPlan plan = ResolvedPlan::uniform(tables, hierarchy, 0);
    std::vector<Directory> directories;
    for (int rank = 0; rank < hierarchy.ranks(); ++rank) directories.emplace_back(tables, hierarchy, plan, rank);
    BatchCase c;
    for (int s = 0; s < 40; ++s) {
      std::vector<int64_t> keys;
      for (int i = 0; i < 6; ++i)
        keys.push_back(static_cast<int64_t>(random() % 300) * static_cast<int64_t>(random() % 300) / 300);
      c.add(keys);
    }
    c.deal(hierarchy.ranks());
    const int64_t offset = plan.tables[0].rules[0].holders.offset;
    for (size_t d = 0; d < c.keys.size(); ++d) {
      c.turn[d] = c.keys[d] + offset;
      c.holder[d] = static_cast<int16_t>(directories[0].holder(c.keys[d]));
    }
    std::vector<int16_t> ranks = as_read(c);
    std::shuffle(ranks.begin(), ranks.end(), random);
    const int depth = hierarchy.depth();
    AssignmentMoves expected{std::vector<int64_t>(depth), std::vector<int64_t>(hierarchy.ranks()),
                             std::vector<int64_t>(hierarchy.ranks())};
    std::set<std::pair<int, int64_t>> wanted;  // rank, key
    for (int64_t s = 0; s < c.samples(); ++s)
      for (int64_t i = c.first[s]; i < c.first[s + 1]; ++i) wanted.insert({ranks[s], c.keys[c.rows[i]]});
    for (const auto& [rank, key] : wanted) ++expected.distinct[rank];
    for (int stage = depth - 1; stage >= 0; --stage) {
      std::set<std::pair<int, int64_t>> asked;
      for (const auto& [rank, key] : wanted) {
        const int of = directories[rank].ask(stage, key);
        asked.insert({of, key});
        if (of != rank) ++expected.received[rank];
        if (hierarchy.domain(stage + 1, of) != hierarchy.domain(stage + 1, rank)) ++expected.into[stage];
      }
      wanted = asked;
    }
    const AssignmentMoves moves = count_moves(tree_of(hierarchy), c.batch(), ranks, c.holder);
    INFO(name);
    CHECK(moves.into == expected.into);
    CHECK(moves.distinct == expected.distinct);
    CHECK(moves.received == expected.received);
  }
}

TEST_CASE("EveryShapeMeetsQuotasAndMovesNoMoreThanAsRead") {
  std::mt19937 random(22);
  for (const auto& [name, hierarchy] : hierarchies())
    for (int trial = 0; trial < 8; ++trial) {
      RandomBatch of;
      of.ranks = hierarchy.ranks();
      of.samples = trial == 0 ? 3 : 40 * trial;
      of.held = trial % 3 == 0 ? 0 : 0.8;
      of.repeats = trial % 2 == 0;
      BatchCase c = random_batch(of, random);
      if (trial == 5 && of.ranks > 1) {  // a server
        c.quota[of.ranks - 1] += c.quota[0];
        c.quota[0] = 0;
      }
      INFO(name << " trial " << trial);
      const Assigned result = assign(tree_of(hierarchy), c);
      CHECK(no_more(result.moves.into, result.moves_as_read.into));
      for (size_t d = 0; d < c.keys.size(); ++d) CHECK(result.holder[d] >= 0);
    }
}

TEST_CASE("FewerRowsEnterNodesThanIfRanksWereAlike") {
  std::mt19937 random(23);
  RandomBatch of;
  of.ranks = 8;
  of.samples = 2000;
  of.clusters = 200;
  const BatchCase c = random_batch(of, random);
  const AssignerTree tree = tree_of(cluster({4, 2}));
  const Assigned result = assign(tree, c);
  std::vector<int16_t> flat(c.samples()), holder = c.holder;
  Assigner assigner(AssignerTree::flat(8), {2, 1});
  assigner.assign(c.batch(), flat);
  assigner.settle(c.batch(), flat, holder);
  CHECK(result.moves.into[0] < count_moves(tree, c.batch(), flat, holder).into[0]);
  CHECK(result.moves.into[0] * 3 < result.moves_as_read.into[0] * 2);
}

TEST_CASE("HundredsOfRanks") {
  std::mt19937 random(24);
  for (const auto& sizes : std::vector<std::vector<int>>{{256}, {65}, {300, 2}, {128, 8}, {4, 4, 16}, {1, 100}}) {
    const Hierarchy hierarchy = cluster(sizes);
    RandomBatch of;
    of.ranks = hierarchy.ranks();
    of.samples = 6 * of.ranks + 5;
    of.clusters = of.ranks;
    const Assigned result = assign(tree_of(hierarchy), random_batch(of, random));
    INFO(of.ranks << " ranks");
    CHECK(no_more(result.moves.into, result.moves_as_read.into));
    if (sizes[0] > 1) CHECK(result.moves.into[0] * 10 < result.moves_as_read.into[0] * 9);
  }
}
