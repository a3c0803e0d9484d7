#include "store/store.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/error.hpp"

namespace sparrow {

Store::Store(Backend& backend, const Directory& directory, int64_t state_dim, const OffloadOptions& offloaded)
    : backend_(backend),
      directory_(directory),
      values_(backend, Memory::device, directory.device_slots() * directory.tables().dim(), MemoryPart::rows),
      state_(backend, Memory::device, directory.device_slots() * state_dim, MemoryPart::row_state),
      rows_{values_.data(), state_.data(), directory.device_slots(), directory.tables().dim(), state_dim} {
  if (directory.offloaded_slots() > 0)
    offloaded_ = make_offloaded_rows(backend, directory.offloaded_slots(), rows_.dim, state_dim, offloaded);
  if (directory.holder_map() == nullptr) return;
  initial_.state = Array<float>(backend, Memory::device, kChunk * state_dim, MemoryPart::row_state);
  reserve_ids(directory.guests());
}

/// For calls of fill() with n rows.
void Store::reserve_ids(int64_t n) {
  if (n <= initial_.ids.size()) return;
  initial_.ids = Array<int64_t>();  // first: the old and the new need not exist together
  initial_.ids = Array<int64_t>(backend_, Memory::device, n, MemoryPart::exchange);
  if (!backend_.device_is_host()) initial_.pinned_ids = Array<int64_t>(backend_, Memory::pinned, n);
}

void Store::write(Stream& stream, int64_t first, int64_t n, const float* values, const float* state) {
  SPARROW_CHECK(first >= 0 && n >= 0 && first + n <= directory_.slots(), "slots {} to {} of {}", first, first + n,
                directory_.slots());
  const int64_t here = std::clamp<int64_t>(rows_.slots - first, 0, n);
  backend_.copy(stream, rows_.values + first * rows_.dim, values, here * rows_.dim * 4);
  if (state) backend_.copy(stream, rows_.state + first * rows_.state_dim, state, here * rows_.state_dim * 4);
  backend_.synchronize(stream);
  if (here < n)
    offloaded_->write(first + here - rows_.slots, n - here, values + here * rows_.dim,
                      state ? state + here * rows_.state_dim : nullptr);
}

void Store::read(Stream& stream, int64_t first, int64_t n, float* values, float* state) {
  SPARROW_CHECK(first >= 0 && n >= 0 && first + n <= directory_.slots(), "slots {} to {} of {}", first, first + n,
                directory_.slots());
  const auto copy = [&](const RowStore& from, int64_t slot, int64_t row, int64_t count) {
    backend_.copy(stream, values + row * from.dim, from.values + slot * from.dim, count * from.dim * 4);
    if (state)
      backend_.copy(stream, state + row * from.state_dim, from.state + slot * from.state_dim,
                    count * from.state_dim * 4);
  };
  const int64_t here = std::clamp<int64_t>(rows_.slots - first, 0, n);
  if (here > 0) copy(rows_, first, 0, here);
  if (here < n) {
    std::vector<int64_t> slots(n - here);
    std::iota(slots.begin(), slots.end(), first + here - rows_.slots);
    const auto batch = offloaded_->make_batch();
    batch->start(slots);
    batch->load();
    copy(batch->rows(), batch->slot_of(0), here, n - here);  // neighbours are neighbours there too
    backend_.synchronize(stream);
    batch->finish(false);
  }
  backend_.synchronize(stream);
}

void Store::initialise(Stream& stream, uint64_t seed, float initial_state, const IdOfPosition& id_of) {
  const SlotRoom held = directory_.held();  // at first, the lowest slots of each store
  const int64_t most = std::min(kChunk, std::max(held.device, held.offloaded));
  std::vector<float> values(offloaded_ ? static_cast<size_t>(most * rows_.dim) : 0);
  const std::vector<float> state(std::max(most * rows_.state_dim, initial_.state.size()), initial_state);
  const Array<float> made(backend_, Memory::device, static_cast<int64_t>(values.size()));
  const Array<int64_t> ids(backend_, Memory::device, most);
  if (!id_of) return;
  initial_.seed = seed;
  initial_.id_of = id_of;
  backend_.copy(stream, initial_.state.data(), state.data(), initial_.state.size() * 4);
  backend_.synchronize(stream);
  for (int64_t first = 0; first < held.device; first += kChunk) {
    const int64_t n = std::min(kChunk, held.device - first);
    make_initial(stream, first, n, ids, rows_.values + first * rows_.dim);
    backend_.copy(stream, rows_.state + first * rows_.state_dim, state.data(), n * rows_.state_dim * 4);
    backend_.synchronize(stream);
  }
  const int64_t offloaded_end = rows_.slots + held.offloaded;
  for (int64_t first = rows_.slots; first < offloaded_end; first += kChunk) {
    const int64_t n = std::min(kChunk, offloaded_end - first);
    make_initial(stream, first, n, ids, made.data());
    backend_.copy(stream, values.data(), made.data(), n * rows_.dim * 4);
    backend_.synchronize(stream);
    offloaded_->write(first - rows_.slots, n, values.data(), state.data());
  }
  if (offloaded_) offloaded_->drain();
}

/// Initial values (n, dim) of the rows in slots first .. first + n - 1, in device memory.
void Store::make_initial(Stream& stream, int64_t first, int64_t n, const Array<int64_t>& device_ids, float* values) {
  const Tables& tables = directory_.tables();
  std::vector<int64_t> keys(n), ids;
  directory_.keys_of_slots(first, keys);
  for (size_t i = 0; i < keys.size();) {  // a run of slots of one table at a time
    const int table = tables.table_of(keys[i]);
    const int64_t end = tables.first_key(table) + tables.rows(table);
    const auto begin = static_cast<int64_t>(i);
    ids.clear();
    for (; i < keys.size() && keys[i] >= tables.first_key(table) && keys[i] < end; ++i)
      ids.push_back(initial_.id_of(table, keys[i] - tables.first_key(table)));
    const auto count = static_cast<int64_t>(ids.size());
    backend_.copy(stream, device_ids.data(), ids.data(), count * 8);
    backend_.init_rows(stream, initial_.seed, static_cast<uint32_t>(table), device_ids.data(), count, rows_.dim,
                       tables.initial_bound(table), values + begin * rows_.dim);
    backend_.synchronize(stream);
  }
}

void Store::fill(Stream& stream, std::span<const int64_t> keys, std::span<const int64_t> slots) {
  const Tables& tables = directory_.tables();
  const size_t n = keys.size();
  SPARROW_CHECK(slots.size() == n);
  if (n == 0 || !initial_.id_of) return;
  reserve_ids(static_cast<int64_t>(n));
  const bool on_host = backend_.device_is_host();
  int64_t* ids = on_host ? initial_.ids.data() : initial_.pinned_ids.data();
  int table = tables.table_of(keys[0]);
  const auto in_table = [&](int64_t key) {
    return key >= tables.first_key(table) && key < tables.first_key(table) + tables.rows(table);
  };
  for (size_t i = 0; i < n; ++i) {
    if (!in_table(keys[i])) table = tables.table_of(keys[i]);
    ids[i] = initial_.id_of(table, keys[i] - tables.first_key(table));
  }
  if (!on_host) backend_.copy(stream, initial_.ids.data(), ids, static_cast<int64_t>(n) * 8);
  for (size_t i = 0; i < n;) {  // neighbouring slots, rows of one table
    const size_t begin = i;
    table = tables.table_of(keys[i]);
    for (++i; i < n && static_cast<int64_t>(i - begin) < kChunk && slots[i] == slots[i - 1] + 1 && in_table(keys[i]);)
      ++i;
    const auto count = static_cast<int64_t>(i - begin);
    backend_.init_rows(stream, initial_.seed, static_cast<uint32_t>(table), initial_.ids.data() + begin, count,
                       rows_.dim, tables.initial_bound(table), rows_.values + slots[begin] * rows_.dim);
    if (rows_.state_dim > 0)
      backend_.copy(stream, rows_.state + slots[begin] * rows_.state_dim, initial_.state.data(),
                    count * rows_.state_dim * 4);
  }
}

}  // namespace sparrow
