#include "train/checkpoint.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "exchange/fetched_route.hpp"
#include "train/safetensors.hpp"

namespace sparrow {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int kFormatVersion = 1;
constexpr int64_t kFileBytes = int64_t{256} << 20;  ///< about this much in a row file
constexpr int64_t kChunkRows = 16384;               ///< rows fetched at a time

int64_t rows_per_file(const RowStore& store) {
  return std::max<int64_t>(1, kFileBytes / (4 * (store.dim + store.state_dim)));
}

std::string row_file(const std::string& folder, int table, int64_t first) {
  return fmt::format("{}/table_{:02}/rows_{:010}.safetensors", folder, table, first);
}

std::string table_folder(const std::string& folder, int table) {
  return fmt::format("{}/table_{:02}", folder, table);
}

/// A range of row ids of a table that is one file.
struct RowRange {
  int table;
  int64_t first, count;
};

std::vector<RowRange> row_ranges(const Tables& tables, int64_t per_file) {
  std::vector<RowRange> ranges;
  for (int t = 0; t < tables.count(); ++t)
    for (int64_t first = 0; first < tables.rows(t); first += per_file)
      ranges.push_back({t, first, std::min(per_file, tables.rows(t) - first)});
  return ranges;
}

/// Of reading `rows` rows of a table on every rank at a time, which may be different ones.
ExchangeBounds bounds_of_reading(const Directory& directory, int64_t rows, int64_t dim) {
  const Hierarchy& hierarchy = directory.hierarchy();
  ExchangeBounds bounds;
  bounds.dim = dim;
  bounds.row_bytes = 4 * dim;
  bounds.samples = 1;
  bounds.bags = directory.tables().count();
  bounds.with_offsets = true;
  for (int level = 0; level <= hierarchy.depth(); ++level) {
    const auto ranks = hierarchy.members(level, hierarchy.domain(level, directory.rank())).size();
    const int64_t asked_for = static_cast<int64_t>(ranks) * rows;
    bounds.lists.push_back({asked_for, asked_for, asked_for});
  }
  for (int stage = 0; stage < hierarchy.depth(); ++stage) {
    bounds.asked.push_back(bounds.lists[static_cast<size_t>(stage) + 1].count);
    bounds.requested.push_back(bounds.lists[static_cast<size_t>(stage)].members);
  }
  return bounds;
}

int64_t most_rows_read(const Tables& tables) {
  return std::min(kChunkRows, *std::max_element(tables.rows().begin(), tables.rows().end()));
}

/// Reads any rows of the distributed tables, values and state, as if a batch had looked them up.
class RowReader {
 public:
  explicit RowReader(Trainer& trainer)
      : trainer_(trainer),
        rows_(trainer.store().rows()),
        router_(trainer.context().host, trainer.directory(), trainer.comms()),
        values_(trainer.context(), trainer.comms(), rows_, DType::f32),
        state_(trainer.context(), trainer.comms(), state_of(rows_), DType::f32),
        route_(trainer.backend(), trainer.comms().sizes()),
        packed_(trainer.backend(), Memory::device) {
    if (trainer.backend().device_is_host()) return;
    const auto reserve = [](auto& buffer, int64_t n) { buffer.reserve_exactly(n); };
    const Directory& directory = trainer.directory();
    const int64_t rows = most_rows_read(directory.tables());
    const ExchangeBounds of_values = bounds_of_reading(directory, rows, rows_.dim);
    route_.each_row_buffer(of_values, reserve);
    values_.each_buffer(of_values, reserve);
    state_.each_buffer(bounds_of_reading(directory, rows, rows_.state_dim), reserve);
    packed_.reserve_exactly(rows * rows_.dim);
  }

  struct Rows {
    std::vector<float> values, state;  ///< (n, dim), (n, state_dim)
  };

  /// Collective; every rank may ask for other rows, or none. Valid until the next call.
  const Rows& read(int table, const std::vector<int64_t>& positions) {
    const int tables = trainer_.directory().tables().count();
    const auto n = static_cast<int64_t>(positions.size());
    offsets_.assign(static_cast<size_t>(tables) + 1, 0);  // one sample whose bag in `table` is all the positions
    for (int t = table + 1; t <= tables; ++t) offsets_[static_cast<size_t>(t)] = n;
    Batch batch;
    batch.samples = 1;
    batch.tables = tables;
    batch.offsets = offsets_;
    batch.positions = positions;
    router_.build(trainer_.stream(), batch, route_);
    load_fetched();
    take(values_, fetched_.rows(), n, rows_.dim, read_.values);
    if (rows_.state_dim > 0) take(state_, state_of(fetched_.rows()), n, rows_.state_dim, read_.state);
    fetched_.finish(false);
    return read_;
  }

 private:
  /// The optimiser state as rows of its own.
  static RowStore state_of(const RowStore& rows) { return {rows.state, nullptr, rows.slots, rows.state_dim, 0}; }

  void load_fetched() {
    fetched_.clear();
    const auto slots = [](RowList& list) {
      return std::span(list.slots.data() + list.device, static_cast<size_t>(list.here - list.device));
    };
    for (RowList& list : route_.lists) fetched_.add(slots(list));
    fetched_.start(trainer_.store().fetched(), trainer_.directory().device_slots());
    for (RowList& list : route_.lists) fetched_.to_places(slots(list));
    fetched_.load();
  }

  void take(RowExchange& exchange, const RowStore& fetched, int64_t n, int64_t dim, std::vector<float>& out) {
    exchange.fetch_whole(trainer_.stream(), route_, fetched);
    out.resize(static_cast<size_t>(n * dim));
    float* packed = packed_.reserve(n * dim);
    trainer_.backend().pack_rows(trainer_.stream(), route_.lowest().addresses.device(),
                                 route_.lowest().row_of_member.device(), n, Matrix::f32(packed, n, dim));
    trainer_.backend().copy(trainer_.stream(), out.data(), packed, n * dim * 4);
    trainer_.backend().synchronize(trainer_.stream());
  }

  Trainer& trainer_;
  RowStore rows_;
  Router router_;
  RowExchange values_, state_;
  Route route_;
  FetchedRoute fetched_;
  Scratch<float> packed_;
  std::vector<int64_t> offsets_;
  Rows read_;
};

/// Writes what it can; a failure is kept, because the other ranks still need this one's part in the exchange.
class RowFileWriter {
 public:
  explicit RowFileWriter(std::string& error) : error_(error) {}
  template <class Action>
  void attempt(Action&& action) {
    if (!error_.empty()) return;
    try {
      action();
    } catch (const std::exception& e) {
      error_ = e.what();
    }
  }

 private:
  std::string& error_;
};

/// Rows of every rank's file of this round: the values chunk by chunk, then the state, which is kept until then.
void append_rows(RowReader& reader, const RowRange* range, int64_t chunks, const Store::IdOfPosition& position_of_id,
                 SafetensorsWriter* file, RowFileWriter& writer) {
  std::vector<int64_t> positions;
  std::vector<float> state;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    positions.clear();
    if (range)
      for (int64_t i = chunk * kChunkRows; i < std::min(range->count, (chunk + 1) * kChunkRows); ++i)
        positions.push_back(position_of_id(range->table, range->first + i));
    const RowReader::Rows& rows = reader.read(range ? range->table : 0, positions);
    writer.attempt([&] {
      if (!file) return;
      file->append(rows.values);
      state.insert(state.end(), rows.state.begin(), rows.state.end());
    });
  }
  writer.attempt([&] {
    if (file) file->append(state);
  });
}

void save_rows(Comm& comm, Trainer& trainer, const Store::IdOfPosition& position_of_id, const std::string& folder,
               std::string& error) {
  const RowStore& store = trainer.store().rows();
  RowReader reader(trainer);
  const std::vector<RowRange> ranges = row_ranges(trainer.directory().tables(), rows_per_file(store));
  const auto ranks = static_cast<size_t>(comm.size());
  RowFileWriter writer(error);
  for (size_t first = 0; first < ranges.size(); first += ranks) {  // every rank writes one file per round
    const size_t own = first + static_cast<size_t>(comm.rank());
    const RowRange* range = own < ranges.size() ? &ranges[own] : nullptr;
    int64_t most = 0;
    for (size_t i = first; i < std::min(ranges.size(), first + ranks); ++i) most = std::max(most, ranges[i].count);
    const int64_t chunks = (most + kChunkRows - 1) / kChunkRows;
    std::unique_ptr<SafetensorsWriter> file;
    writer.attempt([&] {
      if (!range) return;
      fs::create_directories(table_folder(folder, range->table));
      std::vector<TensorShape> tensors{{"values", {range->count, store.dim}}};
      if (store.state_dim > 0) tensors.push_back({"state", {range->count, store.state_dim}});
      file = std::make_unique<SafetensorsWriter>(row_file(folder, range->table, range->first), tensors);
    });
    append_rows(reader, range, chunks, position_of_id, file.get(), writer);
    writer.attempt([&] {
      if (file) file->finish();
    });
  }
}

void save_dense(Trainer& trainer, const std::string& path) {
  Dlrm& model = trainer.model();
  std::vector<TensorShape> tensors;
  for (const DenseParameter& parameter : model.parameters()) tensors.push_back({parameter.name, parameter.shape});
  if (trainer.dense_state_size() > 0)
    for (const DenseParameter& parameter : model.parameters())
      tensors.push_back({"state." + parameter.name, parameter.shape});
  SafetensorsWriter file(path, tensors);
  std::vector<float> host(static_cast<size_t>(model.parameter_count()));
  const auto append = [&](const float* values) {
    trainer.backend().copy(trainer.stream(), host.data(), values, model.parameter_count() * 4);
    trainer.backend().synchronize(trainer.stream());
    file.append(host);
  };
  append(model.values());
  if (trainer.dense_state_size() > 0) append(trainer.dense_state());
  file.finish();
}

void write_index(Trainer& trainer, const RunPosition& position, const std::string& folder) {
  const RowStore& store = trainer.store().rows();
  const json index{{"format", "sparrow checkpoint"},
                   {"version", kFormatVersion},
                   {"steps", position.steps},
                   {"samples", position.samples},
                   {"embedding_dim", store.dim},
                   {"state_dim", store.state_dim},
                   {"rows", trainer.directory().tables().rows()},
                   {"rows_per_file", rows_per_file(store)}};
  const std::string path = folder + "/index.json";
  std::ofstream file(path + ".unfinished");
  file << index.dump(2) << '\n' << std::flush;
  if (!file) fail_errno(path);
  fs::rename(path + ".unfinished", path);
}

std::vector<std::string> whole_checkpoints(const std::string& dir) {
  std::vector<std::string> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(dir + "/checkpoints", none))
    if (entry.path().filename().string().rfind("samples_", 0) == 0 && fs::exists(entry.path() / "index.json"))
      found.push_back(entry.path().string());
  std::sort(found.begin(), found.end());  // zero-padded numbers sort by samples
  return found;
}

}  // namespace

std::optional<std::string> newest_checkpoint(const std::string& dir) {
  const std::vector<std::string> found = whole_checkpoints(dir);
  return found.empty() ? std::nullopt : std::optional(found.back());
}

void save_checkpoint(Comm& comm, Trainer& trainer, const Store::IdOfPosition& position_of_id,
                     const RunPosition& position, const std::string& dir, int keep,
                     const std::function<void(const std::string& folder)>& save_more) {
  trainer.drain();
  const std::string folder = fmt::format("{}/checkpoints/samples_{:012}", dir, position.samples);
  std::string error;
  RowFileWriter writer(error);
  if (comm.rank() == 0) {
    writer.attempt([&] {
      fs::remove_all(folder);
      fs::create_directories(folder);
      save_dense(trainer, folder + "/dense.safetensors");
    });
  }
  barrier(comm);  // the folder is there
  save_rows(comm, trainer, position_of_id, folder, error);
  writer.attempt([&] {
    if (save_more) save_more(folder);
  });
  const std::vector<std::string> errors = all_gather(comm, error);
  for (size_t rank = 0; rank < errors.size(); ++rank)
    if (!errors[rank].empty()) fail("checkpoint {} could not be written: rank {}: {}", folder, rank, errors[rank]);
  if (comm.rank() == 0) {
    writer.attempt([&] {
      write_index(trainer, position, folder);
      std::vector<std::string> all = whole_checkpoints(dir);
      for (size_t i = 0; i + static_cast<size_t>(keep) < all.size(); ++i) fs::remove_all(all[i]);
    });
  }
  const std::vector<std::string> last = all_gather(comm, error);
  if (!last[0].empty()) fail("checkpoint {} could not be finished: {}", folder, last[0]);
}

namespace {

json read_index(const std::string& folder) {
  const std::string path = folder + "/index.json";
  std::ifstream file(path);
  if (!file) fail_errno(path);
  const json index = json::parse(file, nullptr, false);
  if (!index.is_object() || index.value("format", json()) != "sparrow checkpoint")
    fail("{}: no index of a checkpoint", path);
  if (index.value("version", json()) != kFormatVersion)
    fail("{}: version {} is not known here", path, index.value("version", json()).dump());
  return index;
}

int64_t whole_number(const json& index, const char* key, const std::string& folder) {
  if (!index.contains(key) || !index[key].is_number_integer() || index[key].get<int64_t>() < 0)
    fail("{}/index.json: {} is missing or no number", folder, key);
  return index[key].get<int64_t>();
}

void load_dense(Trainer& trainer, const SafetensorsFile& file, bool with_state) {
  Dlrm& model = trainer.model();
  for (const DenseParameter& parameter : model.parameters()) {
    const auto copy = [&](const std::string& name, float* to) {
      const std::span<const float> values = file.tensor(name, parameter.shape);
      trainer.backend().copy(trainer.stream(), to + parameter.offset, values.data(), parameter.size() * 4);
    };
    copy(parameter.name, model.values());
    if (with_state && trainer.dense_state_size() > 0) copy("state." + parameter.name, trainer.dense_state());
  }
  model.refresh(trainer.stream());
  trainer.backend().synchronize(trainer.stream());
}

/// Values (and state) of a row by table and id.
struct RowData {
  const float* values;
  const float* state;
};

/// Fills every row that this rank holds. The ranks read what they hold straight from the files.
template <class Find>
void load_rows(Trainer& trainer, const Store::IdOfPosition& id_of_position, const Find& find) {
  const Tables& tables = trainer.directory().tables();
  const RowStore& store = trainer.store().rows();
  std::vector<int64_t> keys;
  std::vector<float> values, state;
  const int64_t slots = trainer.directory().slots();
  for (int64_t first = 0; first < slots; first += kChunkRows) {
    int64_t n = std::min(kChunkRows, slots - first);
    keys.resize(static_cast<size_t>(n));
    values.assign(static_cast<size_t>(n * store.dim), 0);
    state.assign(static_cast<size_t>(n * store.state_dim), 0);
    trainer.directory().keys_of_slots(first, keys);
    bool with_state = false;
    while (n > 0 && keys[static_cast<size_t>(n) - 1] < 0) --n;  // free slots
    for (int64_t i = 0; i < n; ++i) {
      const int64_t key = keys[static_cast<size_t>(i)];
      if (key < 0) continue;
      const int table = tables.table_of(key);
      const RowData row = find(table, id_of_position(table, key - tables.first_key(table)));
      std::copy_n(row.values, store.dim, values.data() + i * store.dim);
      if (row.state) std::copy_n(row.state, store.state_dim, state.data() + i * store.state_dim), with_state = true;
    }
    trainer.store().write(trainer.stream(), first, n, values.data(), with_state ? state.data() : nullptr);
  }
}

RunPosition load_folder(Trainer& trainer, const Store::IdOfPosition& id_of_position, const std::string& folder,
                        bool with_state) {
  const json index = read_index(folder);
  const Tables& tables = trainer.directory().tables();
  const RowStore& store = trainer.store().rows();
  if (index.value("rows", json()) != json(tables.rows()) || whole_number(index, "embedding_dim", folder) != store.dim)
    fail("{} is of another model: {} rows of dimension {}, this one has {} rows of dimension {}", folder,
         index.value("rows", json()).dump(), index.value("embedding_dim", json()).dump(), json(tables.rows()).dump(),
         store.dim);
  const int64_t state_dim = whole_number(index, "state_dim", folder);
  if (with_state && state_dim != store.state_dim)
    fail(
        "{}: {} values of optimiser state per row, this optimiser has {}: start from the weights alone with train.init",
        folder, state_dim, store.state_dim);
  const int64_t per_file = whole_number(index, "rows_per_file", folder);
  if (per_file < 1) fail("{}/index.json: rows_per_file is 0", folder);
  load_dense(trainer, SafetensorsFile(folder + "/dense.safetensors"), with_state);

  std::map<std::pair<int, int64_t>, std::unique_ptr<SafetensorsFile>> files;
  load_rows(trainer, id_of_position, [&](int table, int64_t id) {
    const int64_t first = id / per_file * per_file, n = std::min(per_file, tables.rows(table) - first);
    auto& file = files[{table, first}];
    if (!file) file = std::make_unique<SafetensorsFile>(row_file(folder, table, first));
    RowData row{file->tensor("values", {n, store.dim}).data() + (id - first) * store.dim, nullptr};
    if (with_state && state_dim > 0)
      row.state = file->tensor("state", {n, state_dim}).data() + (id - first) * state_dim;
    return row;
  });
  return {whole_number(index, "steps", folder), whole_number(index, "samples", folder)};
}

}  // namespace

RunPosition load_checkpoint(Trainer& trainer, const Store::IdOfPosition& id_of_position, const std::string& path) {
  return load_folder(trainer, id_of_position, path, true);
}

void load_weights(Trainer& trainer, const Store::IdOfPosition& id_of_position, const std::string& path) {
  if (fs::is_directory(path)) {
    load_folder(trainer, id_of_position, path, false);
    return;
  }
  const SafetensorsFile file(path);
  load_dense(trainer, file, false);
  const Tables& tables = trainer.directory().tables();
  std::vector<const float*> values;
  for (int t = 0; t < tables.count(); ++t)
    values.push_back(file.tensor(fmt::format("emb_l.{}.weight", t), {tables.rows(t), tables.dim()}).data());
  load_rows(trainer, id_of_position, [&](int table, int64_t id) {
    return RowData{values[static_cast<size_t>(table)] + id * tables.dim(), nullptr};
  });
}

void add_checkpoint_needs(Backend& backend, const Directory& directory, int64_t state_dim, MemoryByPart& needs) {
  const Tables& tables = directory.tables();
  const int64_t rows = most_rows_read(tables);
  std::vector<int> peers(static_cast<size_t>(directory.hierarchy().depth()), 1);
  const ExchangeBounds bounds = bounds_of_reading(directory, rows, tables.dim());
  MemoryByPart exchange;
  Route(backend, peers).each_row_buffer(bounds, [&](const auto& buffer, int64_t n) {
    exchange.add(MemoryPart::exchange, buffer.device_bytes(n));
  });
  RowExchange::add_needs(bounds, exchange);
  RowExchange::add_needs(bounds_of_reading(directory, rows, state_dim), exchange);
  exchange.add(MemoryPart::exchange, rows * tables.dim() * 4);
  needs.add(MemoryPart::checkpoint, exchange.total());
}

}  // namespace sparrow
