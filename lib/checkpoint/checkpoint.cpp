#include "checkpoint/checkpoint.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/error.hpp"
#include "checkpoint/holder_files.hpp"
#include "checkpoint/safetensors.hpp"
#include "comm/collectives.hpp"
#include "train/row_reader.hpp"

namespace sparrow {

namespace fs = std::filesystem;

namespace {

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
      for (int64_t i = chunk * RowReader::kMostRows; i < std::min(range->count, (chunk + 1) * RowReader::kMostRows);
           ++i)
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
  const std::vector<RowRange> ranges =
      row_ranges(trainer.directory().tables(), rows_per_file(store.dim + store.state_dim));
  const auto ranks = static_cast<size_t>(comm.size());
  RowFileWriter writer(error);
  for (size_t first = 0; first < ranges.size(); first += ranks) {  // every rank writes one file per round
    const size_t own = first + static_cast<size_t>(comm.rank());
    const RowRange* range = own < ranges.size() ? &ranges[own] : nullptr;
    int64_t most = 0;
    for (size_t i = first; i < std::min(ranges.size(), first + ranks); ++i) most = std::max(most, ranges[i].count);
    const int64_t chunks = (most + RowReader::kMostRows - 1) / RowReader::kMostRows;
    std::unique_ptr<SafetensorsWriter> file;
    writer.attempt([&] {
      if (!range) return;
      std::vector<TensorShape> tensors{{"values", {range->count, store.dim}}};
      if (store.state_dim > 0) tensors.push_back({"state", {range->count, store.state_dim}});
      const std::string path = row_file(folder, range->table, range->first);
      fs::create_directories(fs::path(path).parent_path());
      file = std::make_unique<SafetensorsWriter>(path, tensors);
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
  std::vector<float> host(model.parameter_count());
  const auto append = [&](const float* values) {
    trainer.backend().copy(trainer.stream(), host.data(), values, model.parameter_count() * 4);
    trainer.backend().synchronize(trainer.stream());
    file.append(host);
  };
  append(model.values());
  if (trainer.dense_state_size() > 0) append(trainer.dense_state());
  file.finish();
}

CheckpointIndex index_of(Trainer& trainer, const RunPosition& position) {
  const RowStore& store = trainer.store().rows();
  return {position, store.dim, store.state_dim, trainer.directory().tables().rows(),
          rows_per_file(store.dim + store.state_dim)};
}

/// A checkpoint that was not finished is of no use, and what it takes of a full disk is.
void remove_quietly(const std::string& folder) {
  std::error_code ignored;
  fs::remove_all(folder, ignored);
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
  const std::string folder = checkpoint_folder(dir, position.samples);
  std::string error;
  RowFileWriter writer(error);
  if (comm.rank() == 0) {
    writer.attempt([&] {
      for (const std::string& broken : broken_checkpoints(dir)) fs::remove_all(broken);
      remove_checkpoint(folder);
      fs::create_directories(folder);
      save_dense(trainer, dense_file(folder));
    });
  }
  barrier(comm);  // the folder is there
  save_rows(comm, trainer, position_of_id, folder, error);
  writer.attempt([&] { save_holders(comm, trainer, position_of_id, position.steps, folder); });
  writer.attempt([&] {
    if (save_more) save_more(folder);
  });
  const std::vector<std::string> errors = all_gather(comm, error);
  for (size_t rank = 0; rank < errors.size(); ++rank) {
    if (errors[rank].empty()) continue;
    if (comm.rank() == 0) remove_quietly(folder);
    fail("checkpoint {} could not be written: rank {}: {}", folder, rank, errors[rank]);
  }
  if (comm.rank() == 0) {
    writer.attempt([&] { write_index(folder, index_of(trainer, position)); });
    if (!error.empty()) remove_quietly(folder);
    writer.attempt([&] {
      std::vector<std::string> all = whole_checkpoints(dir);
      for (size_t i = 0; i + static_cast<size_t>(keep) < all.size(); ++i) remove_checkpoint(all[i]);
    });
  }
  const std::vector<std::string> last = all_gather(comm, error);
  if (!last[0].empty()) fail("checkpoint {} could not be finished: {}", folder, last[0]);
}

}  // namespace sparrow
