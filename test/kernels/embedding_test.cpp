// Rows gathered and packed, bags pooled, gradients summed per row.
#include "base/error.hpp"
#include "test/kernels/harness.hpp"

using namespace sparrow;
using namespace sparrow::test;

namespace {

/// Bags of one batch on the host: lengths by bag (table major), and which of `rows` distinct rows each lookup wants.
struct HostBags {
  int64_t samples, tables;
  std::vector<int64_t> offsets;  // empty: one lookup per bag
  std::vector<int32_t> row_of_lookup;

  int64_t bag_count() const { return samples * tables; }
  int64_t begin(int64_t bag) const { return offsets.empty() ? bag : offsets[bag]; }
};

std::vector<int32_t> random_rows(int64_t n, int64_t rows, uint32_t seed) {
  const auto values = random_integers(n, rows, seed);
  return {values.begin(), values.end()};
}

HostBags one_hot(int64_t samples, int64_t tables, int64_t rows) {
  return {samples, tables, {}, random_rows(samples * tables, rows, 5)};
}

/// Lengths 0 to 3, and one bag of 100.
HostBags multi_hot(int64_t samples, int64_t tables, int64_t rows) {
  HostBags bags{samples, tables, {0}, {}};
  const auto lengths = random_integers(samples * tables, 4, 6);
  for (int64_t bag = 0; bag < bags.bag_count(); ++bag) {
    bags.offsets.push_back(bags.offsets.back() + (bag == bags.bag_count() / 2 ? 100 : lengths[bag]));
  }
  bags.row_of_lookup = random_rows(bags.offsets.back(), rows, 7);
  return bags;
}

/// The same bags on a device.
struct DeviceBags {
  Array<int64_t> offsets;
  Array<int32_t> row_of_lookup;
  Bags bags;

  DeviceBags(const Harness& h, const HostBags& host)
      : offsets(h.upload(host.offsets)), row_of_lookup(h.upload(host.row_of_lookup)) {
    bags = {host.samples, host.tables, host.offsets.empty() ? nullptr : offsets.data(), row_of_lookup.data()};
  }
};

/// Device addresses of the rows of a device block (row i at block + i * dim), made on the host.
Array<const float*> addresses_of(const Harness& h, const Array<float>& block, int64_t rows, int64_t dim) {
  std::vector<const float*> addresses;
  for (int64_t i = 0; i < rows; ++i) addresses.push_back(block.data() + i * dim);
  return h.upload(addresses);
}

std::vector<float> random_floats(int64_t n, uint32_t seed) {
  const auto values = random_values(n, seed);
  return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("Gathered rows are the rows of their slots") {
  on_every_backend([](const Harness& h) {
    for (const int64_t dim : kDims) {
      for (const int64_t n : {0, 1, 2, 7, 33, 1100}) {
        for (const DType type : {DType::f32, DType::bf16}) {
          INFO("dim " << dim << ", n " << n << ", bf16 " << (type == DType::bf16));
          constexpr int64_t kSlots = 50;
          const auto values = random_floats(kSlots * dim, 1);
          const auto slots = random_integers(n, kSlots, 2);
          const Array<float> store = h.upload(values);
          const Array<int64_t> slot_array = h.upload(slots);
          const TestMatrix out(h, type, n, dim, 2);
          h.backend().gather_rows(h.stream(), {store.data(), nullptr, kSlots, dim, 0}, slot_array.data(), n, out);
          std::vector<double> expected;
          for (const int64_t slot : slots) {
            for (int64_t c = 0; c < dim; ++c) expected.push_back(stored(type, double{values[slot * dim + c]}));
          }
          CHECK(out.values() == expected);
        }
      }
    }
    const Array<float> store = h.poisoned<float>(8);
    const Array<int64_t> slots = h.upload(std::vector<int64_t>{0, 1});
    const TestMatrix out(h, DType::f32, 2, 3);
    CHECK_THROWS_AS(h.backend().gather_rows(h.stream(), {store.data(), nullptr, 2, 4, 0}, slots.data(), 2, out), Error);
  });
}

TEST_CASE("Packed rows are the rows at their addresses, chosen by item or in order") {
  on_every_backend([](const Harness& h) {
    for (const int64_t dim : kDims) {
      for (const DType type : {DType::f32, DType::bf16}) {
        constexpr int64_t kRows = 40;
        const auto values = random_floats(kRows * dim, 1);
        const Array<float> block = h.upload(values);
        const Array<const float*> addresses = addresses_of(h, block, kRows, dim);
        const auto chosen = random_rows(1100, kRows, 2);
        const Array<int32_t> chosen_array = h.upload(chosen);
        for (const bool by_item : {true, false}) {
          const int64_t n = by_item ? 1100 : kRows;
          const TestMatrix out(h, type, n, dim, 1);
          h.backend().pack_rows(h.stream(), addresses.data(), by_item ? chosen_array.data() : nullptr, n, out);
          std::vector<double> expected;
          for (int64_t i = 0; i < n; ++i) {
            const int64_t row = by_item ? chosen[i] : i;
            for (int64_t c = 0; c < dim; ++c) expected.push_back(stored(type, double{values[row * dim + c]}));
          }
          CHECK(out.values() == expected);
        }
      }
    }
    const TestMatrix nothing(h, DType::f32, 0, 4);
    h.backend().pack_rows(h.stream(), nullptr, nullptr, 0, nothing);
    CHECK_THROWS_AS(h.backend().pack_rows(h.stream(), nullptr, nullptr, 1, nothing), Error);
  });
}

TEST_CASE("Addresses are base plus slot times dim, or consecutive without slots") {
  on_every_backend([](const Harness& h) {
    const Array<float> base = h.poisoned<float>(100);
    for (const int64_t n : {0, 1, 7, 20}) {
      const auto slots = random_integers(n, 20, 3);
      const Array<int64_t> slot_array = h.upload(slots);
      const Array<const float*> addresses = h.poisoned<const float*>(n);
      h.backend().address_rows(h.stream(), base.data(), slot_array.data(), n, 5, addresses.data());
      const auto chosen = h.download(addresses, n);
      h.backend().address_rows(h.stream(), base.data(), nullptr, n, 5, addresses.data());
      const auto consecutive = h.download(addresses, n);
      for (int64_t i = 0; i < n; ++i) {
        CHECK(chosen[i] == base.data() + slots[i] * 5);
        CHECK(consecutive[i] == base.data() + i * 5);
      }
    }
  });
}

TEST_CASE("A pooled bag is the sum of its rows, zeros if it is empty, and the dense vector stays untouched") {
  on_every_backend([](const Harness& h) {
    for (const int64_t dim : kDims) {
      for (const int64_t samples : kBatches) {
        for (const bool multi : {false, true}) {
          constexpr int64_t kRows = 30, kTables = 5;
          if (multi && samples == 0) continue;
          INFO("dim " << dim << ", samples " << samples << ", bags of many lengths " << multi);
          const HostBags host = multi ? multi_hot(samples, kTables, kRows) : one_hot(samples, kTables, kRows);
          const DeviceBags device(h, host);
          const auto values = random_floats(kRows * dim, 1);
          const Array<float> block = h.upload(values);
          const Array<const float*> addresses = addresses_of(h, block, kRows, dim);
          const TestMatrix features(h, DType::f32, samples * (kTables + 1), dim, 4);
          h.backend().pool_bags(h.stream(), device.bags, addresses.data(), features);
          std::vector<ExactSum> exact;
          std::vector<double> pooled;
          const auto all = features.values();
          bool dense_untouched = true;
          for (int64_t s = 0; s < samples; ++s) {
            for (int64_t t = 0; t <= kTables; ++t) {
              for (int64_t c = 0; c < dim; ++c) {
                const double value = all[(s * (kTables + 1) + t) * dim + c];
                if (t == 0) {
                  dense_untouched = dense_untouched && std::isnan(value);
                  continue;
                }
                const int64_t bag = (t - 1) * samples + s;
                ExactSum sum;
                for (int64_t l = host.begin(bag); l < host.begin(bag + 1); ++l) {
                  sum.add(double{values[host.row_of_lookup[l] * dim + c]});
                }
                exact.push_back(sum);
                pooled.push_back(value);
              }
            }
          }
          CHECK(dense_untouched);
          check_sums(pooled, exact);
        }
      }
    }
    const DeviceBags device(h, one_hot(4, 2, 3));
    const TestMatrix few(h, DType::f32, 4 * 2, 8);
    CHECK_THROWS_AS(h.backend().pool_bags(h.stream(), device.bags, nullptr, few), Error);
  });
}

TEST_CASE("Row sums add the items of each group in order, one row a thousand times as well") {
  on_every_backend([](const Harness& h) {
    for (const int64_t dim : kDims) {
      for (const DType type : {DType::f32, DType::bf16}) {
        INFO("dim " << dim << ", bf16 " << (type == DType::bf16));
        // Groups of 0 to 2 items, one of 1,000, and an empty one at each end.
        std::vector<int32_t> offsets{0, 0};
        for (const int64_t length : random_integers(300, 3, 4))
          offsets.push_back(offsets.back() + static_cast<int32_t>(length));
        offsets.push_back(offsets.back() + 1000);
        offsets.push_back(offsets.back() + 1);
        offsets.push_back(offsets.back());
        const auto groups = static_cast<int64_t>(offsets.size()) - 1;
        constexpr int64_t kRows = 200;
        const auto items = random_rows(offsets.back(), kRows, 5);
        const auto values = all_stored(type, random_values(kRows * dim, 1));
        const TestMatrix rows(h, type, kRows, dim, values, 3);
        const TestMatrix out(h, DType::f32, groups, dim, 1);
        const Array<int32_t> offset_array = h.upload(offsets), item_array = h.upload(items);
        h.backend().sum_rows(h.stream(), {groups, offsets.back(), offset_array.data(), item_array.data()}, rows, out);
        std::vector<ExactSum> exact;
        for (int64_t g = 0; g < groups; ++g) {
          for (int64_t c = 0; c < dim; ++c) {
            ExactSum sum;
            for (int32_t i = offsets[g]; i < offsets[g + 1]; ++i) sum.add(values[items[i] * dim + c]);
            exact.push_back(sum);
          }
        }
        check_sums(out.values(), exact);
      }
    }
  });
}

TEST_CASE("A group's sum has the same bits among whichever others it is") {
  on_every_backend([](const Harness& h) {
    constexpr int64_t kRows = 500, kDim = 8;
    const Array<float> block = h.upload(random_floats(kRows * kDim, 1));
    const Matrix rows = Matrix::f32(block.data(), kRows, kDim);
    // Sums of the middle one of three groups; the first pushes its items from place to place.
    for (const int32_t size : {1, 2, 31, 32, 33, 64, 65, 500}) {
      const std::vector<int32_t> own = random_rows(size, kRows, 2);
      std::vector<std::vector<double>> sums;
      for (const int32_t before : {0, 1, 17, 31, 32, 33, 200}) {
        std::vector<int32_t> items = random_rows(before, kRows, 3);
        items.insert(items.end(), own.begin(), own.end());
        items.insert(items.end(), 40, 0);
        const std::vector<int32_t> offsets{0, before, before + size, before + size + 40};
        const Array<int32_t> offset_array = h.upload(offsets), item_array = h.upload(items);
        const TestMatrix out(h, DType::f32, 3, kDim);
        h.backend().sum_rows(h.stream(), {3, offsets.back(), offset_array.data(), item_array.data()}, rows, out);
        const std::vector<double> all = out.values();
        sums.emplace_back(all.begin() + kDim, all.begin() + 2 * kDim);
      }
      INFO(size << " items");
      for (const auto& found : sums) CHECK(found == sums[0]);
    }
  });
}

TEST_CASE("Row sums of no groups write nothing, and shapes that contradict each other are refused") {
  on_every_backend([](const Harness& h) {
    const Array<int32_t> offsets = h.upload(std::vector<int32_t>{0, 1}), items = h.upload(std::vector<int32_t>{0});
    const TestMatrix rows(h, DType::f32, 3, 4), none(h, DType::f32, 0, 4), one(h, DType::f32, 1, 4),
        two(h, DType::f32, 2, 4), narrow(h, DType::f32, 1, 3);
    h.backend().sum_rows(h.stream(), {0, 0, offsets.data(), items.data()}, rows, none);
    CHECK_THROWS_AS(h.backend().sum_rows(h.stream(), {1, 1, offsets.data(), items.data()}, rows, two), Error);
    CHECK_THROWS_AS(h.backend().sum_rows(h.stream(), {1, 1, offsets.data(), items.data()}, rows, narrow), Error);
    CHECK_THROWS_AS(h.backend().sum_rows(h.stream(), {1, -1, offsets.data(), items.data()}, rows, one), Error);
  });
}

TEST_CASE("The bag of a lookup is the one whose range it lies in") {
  on_every_backend([](const Harness& h) {
    for (const int64_t samples : {1, 2, 7, 33, 900}) {
      for (const bool multi : {false, true}) {
        const HostBags host = multi ? multi_hot(samples, 3, 10) : one_hot(samples, 3, 10);
        const DeviceBags device(h, host);
        const auto lookups = random_rows(500, static_cast<int64_t>(host.row_of_lookup.size()), 8);
        const Array<int32_t> lookup_array = h.upload(lookups), bags_of = h.poisoned<int32_t>(500);
        h.backend().lookup_bags(h.stream(), device.bags, lookup_array.data(), 500, bags_of.data());
        const auto result = h.download(bags_of, 500);
        int64_t wrong = 0;
        for (size_t i = 0; i < result.size(); ++i) {
          wrong += !(host.begin(result[i]) <= lookups[i] && lookups[i] < host.begin(result[i] + 1));
        }
        CHECK(wrong == 0);
        h.backend().lookup_bags(h.stream(), device.bags, lookup_array.data(), 0, nullptr);
      }
    }
  });
}

TEST_CASE("Pooling and row sums give the same bits for every number of threads") {
  check_same_everywhere([](const Harness& h) {
    constexpr int64_t kSamples = 200, kTables = 4, kRows = 60, kDim = 20;
    const HostBags host = multi_hot(kSamples, kTables, kRows);
    const DeviceBags device(h, host);
    const Array<float> block = h.upload(random_floats(kRows * kDim, 1));
    const Array<const float*> addresses = addresses_of(h, block, kRows, kDim);
    const TestMatrix features(h, DType::f32, kSamples * (kTables + 1), kDim,
                              std::vector<double>(kSamples * (kTables + 1) * kDim, 0.0));
    h.backend().pool_bags(h.stream(), device.bags, addresses.data(), features);
    const Array<int32_t> offsets = h.upload(std::vector<int32_t>{0, 5, 5, 700, 800});
    const Array<int32_t> items = h.upload(random_rows(800, kSamples * (kTables + 1), 9));
    const TestMatrix sums(h, DType::f32, 4, kDim);
    h.backend().sum_rows(h.stream(), {4, 800, offsets.data(), items.data()}, features, sums);
    return std::vector<std::vector<double>>{features.values(), sums.values()};
  });
}
