#include "embedding/store.hpp"

#include <algorithm>
#include <vector>

namespace sparrow {

Store::Store(Backend& backend, const Directory& directory, int64_t state_dim)
    : backend_(backend),
      directory_(directory),
      values_(backend, Memory::device, directory.slots() * directory.tables().dim()),
      state_(backend, Memory::device, directory.slots() * state_dim),
      rows_{values_.data(), state_.data(), directory.slots(), directory.tables().dim(), state_dim} {}

void Store::initialise(Stream& stream, uint64_t seed, float initial_state, const IdOfPosition& id_of) {
  const Tables& tables = directory_.tables();
  constexpr int64_t kChunk = 1 << 16;
  std::vector<int64_t> keys, ids;
  for (int64_t first = 0; first < rows_.slots; first += kChunk) {
    keys.resize(static_cast<size_t>(std::min(kChunk, rows_.slots - first)));
    directory_.keys_of_slots(first, keys);
    for (size_t i = 0; i < keys.size();) {  // a run of slots of one table at a time
      const int table = tables.table_of(keys[i]);
      const int64_t end = tables.first_key(table) + tables.rows(table);
      const size_t begin = i;
      ids.clear();
      for (; i < keys.size() && keys[i] >= tables.first_key(table) && keys[i] < end; ++i)
        ids.push_back(id_of(table, keys[i] - tables.first_key(table)));
      const auto n = static_cast<int64_t>(ids.size());
      Array<int64_t> device_ids(backend_, Memory::device, n);
      backend_.copy(stream, device_ids.data(), ids.data(), n * 8);
      backend_.init_rows(stream, seed, static_cast<uint32_t>(table), device_ids.data(), n, rows_.dim,
                         tables.initial_bound(table), rows_.values + (first + static_cast<int64_t>(begin)) * rows_.dim);
      backend_.synchronize(stream);
    }
  }
  if (state_.size() == 0) return;
  Array<float> filled(backend_, Memory::host, std::min(state_.size(), kChunk));
  std::fill_n(filled.data(), filled.size(), initial_state);
  for (int64_t first = 0; first < state_.size(); first += filled.size())
    backend_.copy(stream, state_.data() + first, filled.data(), std::min(filled.size(), state_.size() - first) * 4);
  backend_.synchronize(stream);
}

}  // namespace sparrow
