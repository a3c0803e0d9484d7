#include "assign/batch_rows.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <map>
#include <random>

#include "data/batch_buffer.hpp"
#include "layout/directory.hpp"
#include "test/support/hierarchies.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

/// Positions with many repeated, and few of them.
BatchBuffer random_batch(const TableShapes& shapes, int64_t samples, std::mt19937_64& random) {
  BatchBuffer buffer(shapes, samples);
  buffer.set_samples(shapes, samples);
  int64_t* position = buffer.positions;
  for (int t = 0; t < shapes.tables(); ++t)
    for (int64_t i = 0; i < samples * shapes.bag_size(t); ++i) {
      const auto rows = static_cast<uint64_t>(shapes.rows[t]);
      *position++ = static_cast<int64_t>(random() % (random() % 2 ? rows : std::min<uint64_t>(rows, 40)));
    }
  return buffer;
}

}  // namespace

TEST_CASE("Places of rows are those that directories of all ranks have") {
  std::mt19937 random(1);
  const Tables tables({50, 300, 7}, 4);
  for (const auto& [name, hierarchy] : hierarchies())
    for (int round = 0; round < 4; ++round) {
      INFO(name);
      ResolvedPlan plan = random_plan(tables, hierarchy, hierarchy.depth(), random, round % 2 == 1);
      for (ResolvedTable& table : plan.tables) table.rules[0].holders.first_use = random() % 2 == 0;
      for (const bool with_map : {false, true}) {
        const RowPlaces places(plan, tables, with_map);
        const Directory directory(tables, hierarchy, plan, 0);
        for (int t = 0; t < tables.count(); ++t)
          for (int64_t p = 0; p < tables.rows(t); ++p) {
            const int64_t key = tables.first_key(t) + p;
            const RowPlaces::Place place = places.of(t, p);
            const ResolvedOption& option = plan.options[directory.option(key)];
            const HolderRule& rule = plan.tables[t].rules[0].holders;
            const bool one_copy = option.level == 0 && !is_pooled(directory.transport(key));
            REQUIRE((place.kind != RowPlaces::Kind::free) == one_copy);
            if (!one_copy) continue;
            const bool mapped = with_map && rule.first_use && rule.fixed < 0 && !option.any_offloaded();
            REQUIRE((place.kind == RowPlaces::Kind::mapped) == mapped);
            REQUIRE(place.holder == (mapped ? AssignerBatch::kNobody : directory.holder(key)));
            REQUIRE(place.turn == p + rule.offset);
          }
      }
    }
}

TEST_CASE("Rows of a batch are listed by sample, each once with its key") {
  TableShapes shapes;
  shapes.rows = {60, 100000, 5, 3000};
  shapes.bag_sizes = {1, 3, 2, 1};
  const Tables tables(shapes.rows, 4);
  const Hierarchy flat = Hierarchy::flat(3);
  std::mt19937_64 random(2);
  ResolvedPlan plan = ResolvedPlan::uniform(tables, flat, 0);
  plan.options.push_back(option_at_level(flat, 1, Reduction::sparse));
  plan.tables[2].intervals = {{{0, 2, 1}}, {{2, 5, 0}}};  // two rows are everywhere
  plan.tables[1].rules[0].holders.first_use = true;
  plan.tables[1].intervals = {{{0, 20, 1}}, {{20, 100000, 0}}};
  const RowPlaces places(plan, tables, true);
  BatchRows rows(shapes, tables, places);
  for (const int64_t samples : {200, 1, 0, 333}) {  // with what is left of the batch before
    const BatchBuffer buffer = random_batch(shapes, samples, random);
    rows.find(buffer.batch);
    const std::vector<int64_t> quota{samples, 0, 0};
    const AssignerBatch view = rows.view(quota, true);
    REQUIRE(view.samples() == samples);
    std::map<int64_t, int32_t> row_of_key;
    for (const int64_t key : view.keys) REQUIRE(row_of_key.try_emplace(key, row_of_key.size()).second);
    std::vector<char> used(view.keys.size(), 0);
    for (int64_t s = 0; s < samples; ++s) {
      std::vector<int32_t> expected;
      int64_t before = 0;
      for (int t = 0; t < shapes.tables(); before += samples * shapes.bag_size(t++))
        for (int j = 0; j < shapes.bag_size(t); ++j) {
          const int64_t position = buffer.positions[before + s * shapes.bag_size(t) + j];
          if (places.of(t, position).kind != RowPlaces::Kind::free)
            expected.push_back(row_of_key.at(tables.first_key(t) + position));
        }
      REQUIRE(std::ranges::equal(view.rows.subspan(view.first[s], view.first[s + 1] - view.first[s]), expected));
      for (const int32_t row : expected) used[row] = 1;
    }
    CHECK(std::count(used.begin(), used.end(), 0) == 0);
    std::vector<int32_t> mapped;
    for (size_t d = 0; d < view.keys.size(); ++d) {
      const int t = tables.table_of(view.keys[d]);
      const RowPlaces::Place place = places.of(t, view.keys[d] - tables.first_key(t));
      CHECK(view.holder[d] == place.holder);
      CHECK(view.turn[d] == place.turn);
      if (place.kind == RowPlaces::Kind::mapped) mapped.push_back(static_cast<int32_t>(d));
    }
    CHECK(std::ranges::equal(rows.mapped(), mapped));
  }
  CHECK(rows.view({}, false).turn.empty());
}

TEST_CASE("Speed of finding the rows of a batch", "[.speed]") {
  TableShapes shapes;
  for (int t = 0; t < 26; ++t) shapes.rows.push_back(t < 8 ? 100 : t < 17 ? 10000 : 1000000);
  const Tables tables(shapes.rows, 4);
  ResolvedPlan plan = ResolvedPlan::uniform(tables, Hierarchy::flat(4), 0);
  for (ResolvedTable& table : plan.tables) table.rules[0].holders.first_use = true;
  BatchRows rows(shapes, tables, {plan, tables, true});
  std::mt19937_64 random(2);
  constexpr int64_t kSamples = 8192;
  constexpr int kTimes = 20;
  const BatchBuffer buffer = random_batch(shapes, kSamples, random);
  rows.find(buffer.batch);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kTimes; ++i) rows.find(buffer.batch);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  WARN(rows.keys().size() << " rows of " << kSamples << " samples: " << 1e9 * seconds / kTimes / kSamples
                          << " ns a sample");
}
