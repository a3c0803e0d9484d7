#include "checkpoint/model_loading.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/error.hpp"
#include "checkpoint/holder_files.hpp"
#include "checkpoint/safetensors.hpp"

namespace sparrow {

namespace {

constexpr int64_t kChunkRows = 16384;  ///< written into the store at a time
constexpr size_t kAhead = 16;          ///< rows asked for before they are copied: they lie anywhere in the files

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

/// Rows of a table, one after the other in memory. state: null where they come without.
struct RowsInFile {
  const float *values = nullptr, *state = nullptr;
};

/// Where the row of an id is.
struct RowPlace {
  RowsInFile file;
  int64_t index;
};

/// The row files of a checkpoint, mapped when first asked for.
class RowFiles {
 public:
  RowFiles(const std::string& folder, const CheckpointIndex& index, bool with_state)
      : folder_(folder), index_(index), with_state_(with_state && index.state_dim > 0), files_(index.rows.size()) {}

  RowPlace place(int table, int64_t id) {
    std::vector<RowsInFile>& files = files_[table];
    const auto file = static_cast<size_t>(id / index_.rows_per_file);
    const int64_t first = static_cast<int64_t>(file) * index_.rows_per_file;
    if (file < files.size() && files[file].values != nullptr) return {files[file], id - first};
    const RowsInFile opened = open(table, first);  // before its entry: an index that lies makes no memory
    if (file >= files.size()) files.resize(file + 1);
    files[file] = opened;
    return {opened, id - first};
  }

 private:
  RowsInFile open(int table, int64_t first) {
    const int64_t n = std::min(index_.rows_per_file, index_.rows[table] - first);
    const auto& file = opened_.emplace_back(std::make_unique<SafetensorsFile>(row_file(folder_, table, first)));
    file->read_ahead();
    return {file->tensor("values", {n, index_.dim}).data(),
            with_state_ ? file->tensor("state", {n, index_.state_dim}).data() : nullptr};
  }

  const std::string& folder_;
  const CheckpointIndex& index_;
  bool with_state_;
  std::vector<std::unique_ptr<SafetensorsFile>> opened_;
  std::vector<std::vector<RowsInFile>> files_;  ///< by table and id / rows_per_file
};

/// Copies rows one after the other; zeros for null.
void copy_rows(const std::vector<const float*>& rows, int64_t dim, std::vector<float>& out) {
  out.resize(rows.size() * static_cast<size_t>(dim));
  float* to = out.data();
  for (size_t i = 0; i < rows.size(); ++i, to += dim) {
    if (i + kAhead < rows.size() && rows[i + kAhead] != nullptr)
      for (int64_t c = 0; c < dim; c += 16) __builtin_prefetch(rows[i + kAhead] + c);
    if (rows[i] != nullptr)
      std::copy_n(rows[i], dim, to);
    else
      std::fill_n(to, dim, 0.0f);
  }
}

/// Fills every row that this rank holds. find(table, id): its RowPlace.
template <class Find>
class RowLoader {
 public:
  RowLoader(Trainer& trainer, const Store::IdOfPosition& id_of_position, Find find)
      : trainer_(trainer), tables_(trainer.directory().tables()), id_of_position_(id_of_position), find_(find) {}

  void load() {
    const int64_t slots = trainer_.directory().slots();
    for (int64_t first = 0; first < slots; first += kChunkRows) load(first, std::min(kChunkRows, slots - first));
  }

 private:
  /// Slots first .. first + n - 1.
  void load(int64_t first, int64_t n) {
    const RowStore& store = trainer_.store().rows();
    keys_.resize(n);
    trainer_.directory().keys_of_slots(first, keys_);
    while (!keys_.empty() && keys_.back() < 0) keys_.pop_back();  // free slots
    find_rows();
    copy_rows(from_values_, store.dim, values_);
    if (with_state_) copy_rows(from_state_, store.state_dim, state_);
    trainer_.store().write(trainer_.stream(), first, std::ssize(keys_), values_.data(),
                           with_state_ ? state_.data() : nullptr);
  }

  void find_rows() {
    const RowStore& store = trainer_.store().rows();
    from_values_.assign(keys_.size(), nullptr);
    from_state_.assign(keys_.size(), nullptr);
    with_state_ = false;
    int table = 0;
    for (size_t i = 0; i < keys_.size(); ++i) {
      const int64_t key = keys_[i];
      if (key < 0) continue;
      if (key < tables_.first_key(table) || key - tables_.first_key(table) >= tables_.rows(table))
        table = tables_.table_of(key);
      const RowPlace place = find_(table, id_of_position_(table, key - tables_.first_key(table)));
      from_values_[i] = place.file.values + place.index * store.dim;
      if (place.file.state == nullptr) continue;
      from_state_[i] = place.file.state + place.index * store.state_dim;
      with_state_ = true;
    }
  }

  Trainer& trainer_;
  const Tables& tables_;
  const Store::IdOfPosition& id_of_position_;
  Find find_;
  std::vector<int64_t> keys_;                           // of the slots of a chunk, -1: free
  std::vector<const float*> from_values_, from_state_;  // where their rows are in the files
  std::vector<float> values_, state_;                   // the rows
  bool with_state_ = false;
};

RunPosition load_folder(Trainer& trainer, const Store::IdOfPosition& id_of_position, const std::string& folder,
                        bool with_state, const std::function<void()>& before_rows) {
  const CheckpointIndex index = read_index(folder);
  const Tables& tables = trainer.directory().tables();
  const RowStore& store = trainer.store().rows();
  if (index.rows != tables.rows() || index.dim != store.dim)
    fail("checkpoint {} is of a different model: dimension {}, this model {}; rows per table [{}], this model [{}]",
         folder, index.dim, store.dim, fmt::join(index.rows, ", "), fmt::join(tables.rows(), ", "));
  if (with_state && index.state_dim != store.state_dim)
    fail(
        "{}: the checkpoint has {} values of optimiser state per row, this optimiser {}: load the weights alone with "
        "train.init",
        folder, index.state_dim, store.state_dim);
  if (with_state)
    load_holders(trainer.context().comm, trainer, id_of_position, index.position.steps, folder);
  else
    place_all_holders(trainer.context().comm, trainer);
  if (before_rows) before_rows();
  trainer.admit_held(!with_state);  // what is not loaded begins as new
  load_dense(trainer, SafetensorsFile(dense_file(folder)), with_state);
  RowFiles files(folder, index, with_state);
  RowLoader(trainer, id_of_position, [&](int table, int64_t id) { return files.place(table, id); }).load();
  return index.position;
}

}  // namespace

RunPosition load_checkpoint(Trainer& trainer, const Store::IdOfPosition& id_of_position, const std::string& path,
                            const std::function<void()>& before_rows) {
  return load_folder(trainer, id_of_position, path, true, before_rows);
}

void load_weights(Trainer& trainer, const Store::IdOfPosition& id_of_position, const std::string& path) {
  if (std::filesystem::is_directory(path)) {
    load_folder(trainer, id_of_position, path, false, {});
    return;
  }
  place_all_holders(trainer.context().comm, trainer);
  trainer.admit_held(true);
  const SafetensorsFile file(path);
  load_dense(trainer, file, false);
  const Tables& tables = trainer.directory().tables();
  std::vector<RowsInFile> rows;
  for (int t = 0; t < tables.count(); ++t)
    rows.push_back({file.tensor(fmt::format("emb_l.{}.weight", t), {tables.rows(t), tables.dim()}).data(), nullptr});
  RowLoader(trainer, id_of_position, [&](int table, int64_t id) { return RowPlace{rows[table], id}; }).load();
}

}  // namespace sparrow
