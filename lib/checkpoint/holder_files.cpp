#include "checkpoint/holder_files.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/part_file.hpp"
#include "base/text_file.hpp"
#include "comm/collectives.hpp"
#include "data/mapped_file.hpp"

namespace sparrow {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

static_assert(std::endian::native == std::endian::little);

constexpr int kVersion = 1;
constexpr int64_t kAtATime = 1 << 14;  ///< rows
constexpr int kNotMapped = -2;         ///< beside ranks and HolderMap::kNobody

std::string folder_of(const std::string& checkpoint) {
  return checkpoint + "/holders";
}
std::string index_file(const std::string& checkpoint) {
  return folder_of(checkpoint) + "/index.json";
}
std::string table_file(const std::string& checkpoint, int table) {
  return fmt::format("{}/table_{:02}.bin", folder_of(checkpoint), table);
}
std::string recent_file(const std::string& checkpoint, int table) {
  return fmt::format("{}/recent_{:02}.bin", folder_of(checkpoint), table);
}

/// How holders are written.
struct Numbers {
  int ranks, bytes;

  static Numbers of(int ranks) { return {ranks, ranks < std::numeric_limits<uint8_t>::max() ? 1 : 2}; }
  int not_mapped() const { return (1 << (8 * bytes)) - 1; }
  int from_holder(int holder) const { return holder == kNotMapped ? not_mapped() : holder + 1; }
  int at(const char* numbers, int64_t i) const {
    uint16_t wide = 0;
    std::memcpy(&wide, numbers + i * bytes, static_cast<size_t>(bytes));
    return wide;
  }
};

/// A row that got its holder in one of the last steps.
struct RecentId {
  int64_t step, id;
};
static_assert(sizeof(RecentId) == 16);

/// Writes the files of one table, while batches may be settled ahead.
class TableSaver {
 public:
  TableSaver(Comm& comm, const Trainer& trainer, int table, int64_t steps)
      : map_(*trainer.directory().holder_map()),
        first_key_(trainer.directory().tables().first_key(table)),
        rows_(trainer.directory().tables().rows(table)),
        table_(table),
        steps_(steps),
        timeout_seconds_(comm.timeout_seconds()),
        mapped_(static_cast<size_t>(rows_)),
        is_recent_(static_cast<size_t>(rows_)) {
    const Directory& directory = trainer.directory();
    for (const KeyRange& range : mapped_keys(directory.tables(), directory.plan()))
      for (int64_t key = std::max(range.first, first_key_); key < std::min(range.end, first_key_ + rows_); ++key)
        mapped_[key - first_key_] = true;
  }

  void save(const Store::IdOfPosition& position_of_id, const std::string& checkpoint) {
    const Numbers numbers = Numbers::of(map_.ranks());
    PartFile file(table_file(checkpoint, table_));
    std::vector<RecentId> recent;
    std::vector<std::byte> bytes;
    std::vector<int64_t> positions(kAtATime);
    std::vector<int> holders(kAtATime);
    for (int64_t first = 0; first < rows_; first += kAtATime) {
      const int64_t n = std::min(kAtATime, rows_ - first);
      for (int64_t i = 0; i < n; ++i) {
        positions[i] = position_of_id(table_, first + i);
        holders[i] = map_.holder(first_key_ + positions[i]);
      }
      know_recent();  // behind the holders: those that were written meanwhile are among these rows
      bytes.resize(static_cast<size_t>(n * numbers.bytes));
      for (int64_t i = 0; i < n; ++i) {
        const int number = numbers.from_holder(as_of_step(holders[i], positions[i], first + i, recent));
        std::memcpy(bytes.data() + i * numbers.bytes, &number, static_cast<size_t>(numbers.bytes));
      }
      file.write(bytes.data(), bytes.size());
    }
    file.finish();
    PartFile recent_ids(recent_file(checkpoint, table_));
    recent_ids.write(recent.data(), recent.size() * sizeof(RecentId));
    recent_ids.finish();
  }

 private:
  /// The table's recent rows, with those of all batches that the map shows.
  void know_recent() {
    const int64_t begun = map_.begun();
    if (begun == begun_) return;
    begun_ = begun;
    recent_.clear();
    for (const HolderMap::Recent& step : map_.recent_now(timeout_seconds_))
      for (const int64_t key : step.keys)
        if (key >= first_key_ && key < first_key_ + rows_) {
          recent_.emplace_back(key, step.step);
          is_recent_[key - first_key_] = true;
        }
    std::sort(recent_.begin(), recent_.end());
  }

  /// The holder as the step that is saved knows it. Adds to `recent`.
  int as_of_step(int holder, int64_t position, int64_t id, std::vector<RecentId>& recent) const {
    const int none = mapped_[position] ? HolderMap::kNobody : kNotMapped;
    if (holder == HolderMap::kNobody) return none;
    if (!is_recent_[position]) return holder;
    const std::pair wanted(first_key_ + position, int64_t{-1});
    const auto found = std::lower_bound(recent_.begin(), recent_.end(), wanted);
    if (found == recent_.end() || found->first != wanted.first) return holder;  // not recent any more
    if (found->second >= steps_) return none;
    recent.push_back({found->second, id});
    return holder;
  }

  const HolderMap& map_;
  int64_t first_key_, rows_;
  int table_;
  int64_t steps_;
  double timeout_seconds_;
  int64_t begun_ = -1;                               ///< of the map, when recent_ was filled
  std::vector<bool> mapped_, is_recent_;             ///< by position
  std::vector<std::pair<int64_t, int64_t>> recent_;  ///< (key, step)
};

struct Index {
  Numbers numbers;
  std::vector<int64_t> room;  ///< most rows of each rank
};

std::vector<int64_t> read_room(const json& text, const std::string& path) {
  const json room = text.value("room", json());
  if (!room.is_array() || room.empty() || room.size() >= std::numeric_limits<uint16_t>::max())
    fail("{}: room of no rank, or of too many", path);
  std::vector<int64_t> rows;
  for (const json& most : room) {
    if (!most.is_number_integer() || most.get<int64_t>() < 0 || most.get<int64_t>() > int64_t{1} << 40)
      fail("{}: room for {} rows", path, most.dump());
    rows.push_back(most.get<int64_t>());
  }
  return rows;
}

Index read_index(const std::string& checkpoint) {
  const std::string path = index_file(checkpoint);
  const json text = json::parse(read_text_file(path), nullptr, false);
  if (!text.is_object() || text.value("format", json()) != "sparrow holders")
    fail("{}: not the index of a checkpoint's holders", path);
  if (text.value("version", json()) != kVersion)
    fail("{}: unsupported version {}", path, text.value("version", json()).dump());
  Index index{{}, read_room(text, path)};
  index.numbers = Numbers::of(static_cast<int>(index.room.size()));
  if (text.value("bytes", json()) != index.numbers.bytes)
    fail("{}: {} bytes a holder among {} ranks", path, text.value("bytes", json()).dump(), index.numbers.ranks);
  return index;
}

/// Holders of one table, into the map of a leader.
class TableLoader {
 public:
  TableLoader(HolderMap& map, const Directory& directory, int table, const std::string& checkpoint,
              const Numbers& numbers, int64_t steps)
      : map_(map),
        directory_(directory),
        first_key_(directory.tables().first_key(table)),
        rows_(directory.tables().rows(table)),
        table_(table),
        path_(table_file(checkpoint, table)),
        file_(path_),
        numbers_(numbers) {
    if (file_.size() != rows_ * numbers.bytes)
      fail("{}: {} bytes for {} rows of {}", path_, file_.size(), rows_, numbers.bytes);
    read_recent(recent_file(checkpoint, table), steps);
  }

  /// Places rows, adds the recent ones to `recent`, and the keys of those that were not mapped to `others`. On as many
  /// ranks as wrote them, holders stay, also of rows that are not mapped just now: they may be on their way.
  void load(const Store::IdOfPosition& id_of_position, std::map<int64_t, std::vector<int64_t>>& recent,
            std::vector<KeyRange>& others) {
    std::vector<int64_t> ids(kAtATime);
    std::vector<HolderMap::NewHolder> rows;
    const char* numbers = file_.data();
    const bool same_ranks = numbers_.ranks == map_.ranks();
    for (int64_t first = 0; first < rows_; first += kAtATime) {
      const int64_t n = std::min(kAtATime, rows_ - first);
      for (int64_t i = 0; i < n; ++i) {  // asked for together: they lie anywhere in the file
        ids[i] = id_of_position(table_, first + i);
        __builtin_prefetch(numbers + ids[i] * numbers_.bytes);
      }
      rows.clear();
      for (int64_t i = 0; i < n; ++i) {
        const int64_t key = first_key_ + first + i;
        const int number = numbers_.at(numbers, ids[i]);
        if (number == numbers_.not_mapped())
          add(key, others);
        else if (number > numbers_.ranks)
          fail("{}: rank {} of {} holds row {}", path_, number - 1, numbers_.ranks, ids[i]);
        else if (number > 0 && (same_ranks || directory_.mapped(key)))
          rows.push_back({key, static_cast<int>(int64_t{number - 1} * map_.ranks() / numbers_.ranks)});
        if (!is_recent_.empty() && is_recent_[ids[i]]) recent[recent_step(ids[i], number)].push_back(key);
      }
      map_.place(rows, !same_ranks);
    }
  }

 private:
  void read_recent(const std::string& path, int64_t steps) {
    const MappedFile file(path);
    if (file.size() % static_cast<int64_t>(sizeof(RecentId)) != 0) fail("{}: {} bytes", path, file.size());
    recent_.resize(static_cast<size_t>(file.size()) / sizeof(RecentId));
    if (recent_.empty()) return;
    std::memcpy(recent_.data(), file.data(), static_cast<size_t>(file.size()));
    is_recent_.resize(static_cast<size_t>(rows_));
    int64_t before = -1;
    for (const RecentId& row : recent_) {
      if (row.id <= before || row.id >= rows_) fail("{}: id {} after {}, of {} rows", path, row.id, before, rows_);
      if (row.step < 0 || row.step >= steps) fail("{}: step {} of {}", path, row.step, steps);
      is_recent_[before = row.id] = true;
    }
  }
  int64_t recent_step(int64_t id, int number) const {
    if (number == 0 || number == numbers_.not_mapped()) fail("{}: nobody holds row {}, which is recent", path_, id);
    const auto found = std::lower_bound(recent_.begin(), recent_.end(), id,
                                        [](const RecentId& row, int64_t wanted) { return row.id < wanted; });
    return found->step;
  }
  static void add(int64_t key, std::vector<KeyRange>& ranges) {
    if (!ranges.empty() && ranges.back().end == key)
      ++ranges.back().end;
    else
      ranges.push_back({key, key + 1});
  }

  HolderMap& map_;
  const Directory& directory_;
  int64_t first_key_, rows_;
  int table_;
  std::string path_;
  MappedFile file_;
  Numbers numbers_;
  std::vector<RecentId> recent_;
  std::vector<bool> is_recent_;  ///< by id; empty: none is
};

/// Rank 0's recent rows to all: it leads a node, and has read them.
void share_recent(Comm& comm, HolderMap& map, const std::map<int64_t, std::vector<int64_t>>& recent) {
  std::vector<int64_t> flat;
  for (const auto& [step, keys] : recent) {
    flat.push_back(step);
    flat.push_back(std::ssize(keys));
    flat.insert(flat.end(), keys.begin(), keys.end());
  }
  int64_t size = std::ssize(flat);
  broadcast(comm, std::as_writable_bytes(std::span(&size, 1)), 0);
  flat.resize(static_cast<size_t>(size));
  broadcast(comm, std::as_writable_bytes(std::span(flat)), 0);
  std::deque<HolderMap::Recent> all;
  for (auto at = flat.begin(); at != flat.end();) {
    const int64_t step = *at++, n = *at++;
    all.push_back({step, {at, at + n}});
    std::sort(all.back().keys.begin(), all.back().keys.end());
    at += n;
  }
  map.remember(std::move(all));
}

/// Collective: what the saved run let each rank hold, if there is as much room here.
void take_room(Comm& comm, const Trainer& trainer, HolderMap& map, const std::vector<int64_t>& room) {
  const bool same = room.size() == static_cast<size_t>(comm.size());
  const bool lacks = !same || room[static_cast<size_t>(comm.rank())] > trainer.directory().mapped_room();
  if (sum(comm, int64_t{lacks ? 1 : 0}) == 0) map.set_room(room, {});
}

/// The map is complete: rows count, and batches from `steps` on may be settled.
void begin_at(Comm& comm, const Trainer& trainer, HolderMap& map, int64_t steps) {
  const Directory& directory = trainer.directory();
  map.set_room(map.room(), mapped_keys(directory.tables(), directory.plan()));
  map.roll_back(steps);
  barrier(comm);
}

}  // namespace

void save_holders(Comm& comm, const Trainer& trainer, const Store::IdOfPosition& position_of_id, int64_t steps,
                  const std::string& folder) {
  const HolderMap* map = trainer.directory().holder_map();
  if (map == nullptr) return;
  fs::create_directories(folder_of(folder));
  const Numbers numbers = Numbers::of(map->ranks());
  for (int table = comm.rank(); table < trainer.directory().tables().count(); table += comm.size())
    TableSaver(comm, trainer, table, steps).save(position_of_id, folder);
  if (comm.rank() != 0) return;
  const json index{
      {"format", "sparrow holders"}, {"version", kVersion}, {"bytes", numbers.bytes}, {"room", map->room()}};
  write_text_file(index_file(folder), index.dump(2) + '\n');
}

void load_holders(Comm& comm, const Trainer& trainer, const Store::IdOfPosition& id_of_position, int64_t steps,
                  const std::string& folder) {
  HolderMap* map = trainer.directory().holder_map();
  if (map == nullptr) return;
  if (!fs::exists(index_file(folder))) {
    place_all_holders(comm, trainer);
    begin_at(comm, trainer, *map, steps);
    return;
  }
  const Directory& directory = trainer.directory();
  const auto& [numbers, room] = read_index(folder);
  take_room(comm, trainer, *map, room);
  std::map<int64_t, std::vector<int64_t>> recent;
  if (map->leader()) {
    std::vector<KeyRange> others;
    for (int table = 0; table < directory.tables().count(); ++table)
      TableLoader(*map, directory, table, folder, numbers, steps).load(id_of_position, recent, others);
    place_by_arithmetic(*map, directory.tables(), directory.plan(), others);
  }
  share_recent(comm, *map, recent);
  begin_at(comm, trainer, *map, steps);
}

void place_all_holders(Comm& comm, const Trainer& trainer) {
  const Directory& directory = trainer.directory();
  HolderMap* map = directory.holder_map();
  if (map == nullptr) return;
  place_by_arithmetic(*map, directory.tables(), directory.plan(), mapped_keys(directory.tables(), directory.plan()));
  begin_at(comm, trainer, *map, map->version());
}

}  // namespace sparrow
