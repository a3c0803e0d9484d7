// Initial values of the rows.
#include "store/store.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>

#include "base/random.hpp"
#include "test/support/hierarchies.hpp"

using namespace sparrow;

namespace {

/// All rows of a store, by slot.
struct Held {
  Held(Store& store, const Directory& directory, Stream& stream) {
    const auto n = static_cast<size_t>(directory.slots());
    values.resize(n * static_cast<size_t>(store.rows().dim));
    state.resize(n * static_cast<size_t>(store.rows().state_dim));
    const int64_t half = directory.slots() / 2;
    store.read(stream, 0, half, values.data(), state.data());
    store.read(stream, half, directory.slots() - half, values.data() + half * store.rows().dim,
               state.data() + half * store.rows().state_dim);
  }
  std::vector<float> values, state;
};

}  // namespace

TEST_CASE("InitialRowsDependOnTableAndIdAlone") {
  const Tables tables({40, 7, 200}, 6);
  std::mt19937 random(1);
  const auto id_of = [&](int table, int64_t position) { return tables.rows(table) - 1 - position; };
  for (const auto& [name, hierarchy] : sparrow::test::hierarchies()) {
    const ResolvedPlan plan = sparrow::test::random_plan(tables, hierarchy, hierarchy.depth(), random, true);
    for (int rank = 0; rank < hierarchy.ranks(); ++rank) {
      const auto backend = make_host_backend(1);
      const auto stream = backend->make_stream();
      const Directory directory(tables, hierarchy, plan, rank);
      Store store(*backend, directory, 1, {std::filesystem::temp_directory_path()});
      store.initialise(*stream, 17, 0.25f, id_of);
      std::vector<int64_t> keys(directory.slots());
      directory.keys_of_slots(0, keys);
      const Held held(store, directory, *stream);
      for (size_t slot = 0; slot < keys.size(); ++slot) {
        CHECK(held.state[slot] == 0.25f);
        const int table = tables.table_of(keys[slot]);
        const auto id = static_cast<uint64_t>(id_of(table, keys[slot] - tables.first_key(table)));
        const float bound = std::sqrt(1.0f / static_cast<float>(tables.rows(table)));
        for (uint32_t e = 0; e < 6; ++e) {
          const float u = uniform_float(random_words(17, static_cast<uint32_t>(table), id, e / 4).v[e % 4]);
          // one rounding each of the scaling and the difference
          CHECK(held.values[slot * 6 + e] == Approx((2 * u - 1) * bound).margin(1e-6 * bound));
        }
      }
    }
  }
}
