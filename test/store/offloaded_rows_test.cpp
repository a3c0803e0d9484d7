// Rows in a file (and in pinned memory): what is written comes back, whatever is under way at once, and a disk that
// fails says so.
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "base/error.hpp"
#include "base/packing.hpp"
#include "store/file_rows.hpp"
#include "store/pinned_rows.hpp"

using namespace sparrow;
namespace fs = std::filesystem;

namespace {

/// A folder that goes with the test.
struct Folder {
  Folder() : path(fs::temp_directory_path() / fmt::format("sparrow_fetched_{}", getpid())) {
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

float value_of(int64_t slot, int64_t element, int version) {
  return static_cast<float>(slot * 1000 + element) + 0.25f * static_cast<float>(version);
}

/// Fills all rows, at version 0, in chunks of uneven sizes.
void fill(OffloadedRows& store, int64_t dim, int64_t state_dim, int64_t chunk) {
  for (int64_t first = 0; first < store.slots(); first += chunk) {
    const int64_t n = std::min(chunk, store.slots() - first);
    std::vector<float> values, state;
    for (int64_t row = first; row < first + n; ++row) {
      for (int64_t e = 0; e < dim; ++e) values.push_back(value_of(row, e, 0));
      for (int64_t e = 0; e < state_dim; ++e) state.push_back(value_of(row, dim + e, 0));
    }
    store.write(first, n, values.data(), state.data());
  }
}

/// Whether row i of a loaded batch is `slot` at `version`.
bool is_row(const OffloadedBatch& batch, int64_t i, int64_t slot, int version) {
  const RowStore rows = batch.rows();
  const int64_t place = batch.slot_of(i);
  for (int64_t e = 0; e < rows.dim; ++e)
    if (rows.values[place * rows.dim + e] != value_of(slot, e, version)) return false;
  for (int64_t e = 0; e < rows.state_dim; ++e)
    if (rows.state[place * rows.state_dim + e] != value_of(slot, rows.dim + e, version)) return false;
  return true;
}

void set_row(const OffloadedBatch& batch, int64_t i, int64_t slot, int version) {
  const RowStore rows = batch.rows();
  const int64_t place = batch.slot_of(i);
  for (int64_t e = 0; e < rows.dim; ++e) rows.values[place * rows.dim + e] = value_of(slot, e, version);
  for (int64_t e = 0; e < rows.state_dim; ++e)
    rows.state[place * rows.state_dim + e] = value_of(slot, rows.dim + e, version);
}

std::vector<int64_t> random_slots(int64_t slots, int64_t most, std::mt19937& random) {
  std::vector<int64_t> list;
  for (int64_t i = 0; i < most; ++i) {
    const double u = static_cast<double>(random() % 10007) / 10007;
    list.push_back(static_cast<int64_t>(u * u * static_cast<double>(slots)));  // some come again and again
  }
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  return list;
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// The descriptor of the scratch file, which has no name.
int scratch_descriptor() {
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code none;
    const std::string target = fs::read_symlink(entry.path(), none).string();
    if (target.find("fetched_rows_") != std::string::npos) return std::stoi(entry.path().filename().string());
  }
  return -1;
}

/// Two batches of the pipeline at a time, in random order of their parts: every row must be at its latest version.
void check_overlapping_batches(OffloadedRows& store, std::mt19937& random) {
  std::map<int64_t, int> version;
  const auto make = [&] { return store.make_batch(); };
  std::unique_ptr<OffloadedBatch> batches[2] = {make(), make()};
  std::vector<int64_t> slots[2];
  slots[0] = random_slots(store.slots(), 60, random);
  batches[0]->start(slots[0]);
  batches[0]->load();
  for (int step = 0; step < 200; ++step) {
    const size_t now = static_cast<size_t>(step % 2), next = 1 - now;
    const bool training = random() % 4 != 0;
    slots[next] = random_slots(store.slots(), static_cast<int64_t>(random() % 80), random);
    batches[next]->start(slots[next]);
    std::vector<int32_t> clean, dirty;
    for (size_t i = 0; i < slots[next].size(); ++i) {
      const bool both = std::binary_search(slots[now].begin(), slots[now].end(), slots[next][i]);
      (both && training ? dirty : clean).push_back(static_cast<int32_t>(i));
    }
    const bool early = random() % 2 == 0;
    if (early) batches[next]->load(clean);
    for (size_t i = 0; i < slots[now].size(); ++i) {
      const auto row = static_cast<int64_t>(i);
      REQUIRE(is_row(*batches[now], row, slots[now][i], version[slots[now][i]]));
      if (training) set_row(*batches[now], row, slots[now][i], ++version[slots[now][i]]);
    }
    batches[now]->finish(training);
    if (!early) batches[next]->load(clean);
    batches[next]->load(dirty);
  }
}

}  // namespace

TEST_CASE("OffloadedRowsComeBackAsTheyWereLeftWhateverIsUnderWay") {
  const Folder folder;
  const auto backend = make_host_backend(1);
  std::mt19937 random(5);
  struct Shape {
    int64_t slots, dim, state_dim, chunk;
  };
  for (const Shape& s : {Shape{1, 1, 0, 1}, {1000, 3, 0, 7}, {500, 16, 1, 60}, {333, 64, 64, 50}, {70, 1500, 1, 9}})
    for (const DiskMethod method : {DiskMethod::automatic, DiskMethod::threads}) {
      INFO("slots " << s.slots << " dim " << s.dim << " state " << s.state_dim);
      FileRows store(*backend, folder.path, s.slots, s.dim, s.state_dim, method);
      fill(store, s.dim, s.state_dim, s.chunk);
      check_overlapping_batches(store, random);
      store.drain();
    }
  PinnedRows pinned(*backend, 500, 16, 1);
  fill(pinned, 16, 1, 60);
  check_overlapping_batches(pinned, random);
}

TEST_CASE("WritingValuesAloneKeepsTheState") {
  const Folder folder;
  const auto backend = make_host_backend(1);
  FileRows store(*backend, folder.path, 300, 4, 2);
  fill(store, 4, 2, 300);
  std::vector<float> values(100 * 4);
  for (int64_t row = 0; row < 100; ++row)
    for (int64_t e = 0; e < 4; ++e) values[row * 4 + e] = value_of(row + 50, e, 1);
  store.write(50, 100, values.data(), nullptr);
  const auto batch = store.make_batch();
  const std::vector<int64_t> slots{49, 50, 149, 150};
  batch->start(slots);
  batch->load();
  CHECK(is_row(*batch, 0, 49, 0));
  CHECK(is_row(*batch, 3, 150, 0));
  for (const int64_t i : {1, 2}) {
    const int64_t slot = slots[i];
    CHECK(batch->rows().values[i * 4] == value_of(slot, 0, 1));
    CHECK(batch->rows().state[i * 2 + 1] == value_of(slot, 5, 0));
  }
  batch->finish(false);
}

TEST_CASE("BatchesReadAndWriteEachBlockOnce") {
  const Folder folder;
  const auto backend = make_host_backend(1);
  FileRows store(*backend, folder.path, 600, 16, 1);  // 60 rows of 68 bytes in a block
  fill(store, 16, 1, 600);
  store.drain();
  const StoreTraffic before = store.traffic();
  const auto batch = store.make_batch();
  const std::vector<int64_t> slots{0, 1, 59, 60, 599};
  batch->start(slots);
  batch->load();
  batch->finish(true);
  const StoreTraffic moved = store.traffic() - before;
  CHECK(moved.read_bytes == 3 * 4096);
  CHECK(moved.written_bytes == 3 * 4096);
}

TEST_CASE("RowsFillBlocksToThreeQuartersAtLeast") {
  for (int64_t row = 4; row < 40000; row += 4) {
    const BlockPacking packing = pack_blocks(row, 4096);
    REQUIRE(packing.block_bytes % 4096 == 0);
    REQUIRE(packing.rows * row * 4 >= packing.block_bytes * 3);
    REQUIRE(packing.rows * row <= packing.block_bytes);
  }
  CHECK(pack_blocks(260, 4096).rows == 15);
  CHECK(pack_blocks(260, 4096).block_bytes == 4096);
  CHECK(pack_blocks(2052, 4096).rows == 3);
  CHECK(pack_blocks(260, 1).block_bytes == 260);
  CHECK(disk_file_bytes(16, 260) == 2 * 4096);
}

TEST_CASE("FillingTheStoreNeedsLittleMemory") {
  const Folder folder;
  const auto backend = make_host_backend(1);
  FileRows store(*backend, folder.path, 100000, 64, 1);  // 27 MB
  fill(store, 64, 1, 1000);
  CHECK(store.buffer_bytes() <= 4 * 1000 * 260 + 4 * 256 * 4096);  // the chunk and those on their way
}

TEST_CASE("RowsThatAreNotAscendingOrNotThereAreRefused") {
  const Folder folder;
  const auto backend = make_host_backend(1);
  FileRows file(*backend, folder.path, 10, 4, 0);
  PinnedRows pinned(*backend, 10, 4, 0);
  for (OffloadedRows* store : {static_cast<OffloadedRows*>(&file), static_cast<OffloadedRows*>(&pinned)})
    for (const std::vector<int64_t>& bad : {std::vector<int64_t>{3, 3}, {4, 2}, {-1}, {10}}) {
      const auto batch = store->make_batch();
      CHECK_THROWS_AS(batch->start(bad), Error);
    }
  const float value[4] = {};
  CHECK_THROWS_AS(file.write(7, 4, value, nullptr), Error);
}

TEST_CASE("NothingOfTheFileStaysBehind") {
  const Folder folder;
  const auto backend = make_host_backend(1);
  const FileRows store(*backend, folder.path / "made", 1000, 16, 1);
  CHECK(fs::is_empty(folder.path / "made"));
}

TEST_CASE("AFileThatIsCutWhileInUseIsAnErrorWithItsPlace") {
  const Folder folder;
  const auto backend = make_host_backend(1);
  for (const DiskMethod method : {DiskMethod::automatic, DiskMethod::threads}) {
    FileRows store(*backend, folder.path, 600, 16, 1, method);
    fill(store, 16, 1, 600);
    store.drain();
    const int descriptor = scratch_descriptor();
    REQUIRE(descriptor >= 0);
    REQUIRE(ftruncate(descriptor, 8192) == 0);
    const auto batch = store.make_batch();
    const std::vector<int64_t> whole{3, 70}, cut{5, 130};
    batch->start(whole);
    batch->load();
    batch->finish(false);
    batch->start(cut);
    const std::string error = error_of([&] { batch->load(); });
    CHECK_THAT(error, Catch::Contains("fetched_rows_") && Catch::Contains("offset 8192") && Catch::Contains("cut"));
  }
}

TEST_CASE("AFullDiskIsAnErrorAtTheStartThatSaysHowMuchIsMissing") {
  const Folder folder;
  const auto backend = make_host_backend(1);
  const fs::path disk = folder.path / "disk";
  fs::create_directories(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") != 0) {
    WARN("skipped: a small file system cannot be mounted here: " << std::strerror(errno));
    return;
  }
  const std::string error = error_of([&] { FileRows(*backend, disk, 100000, 64, 1); });
  const FileRows fits(*backend, disk, 1000, 64, 1);
  const bool small = fs::space(disk).available < 1 << 20;
  umount2(disk.c_str(), MNT_DETACH);
  CHECK_THAT(error, Catch::Contains(disk.string()) && Catch::Contains("27308032 bytes needed") &&
                        Catch::Contains("1048576 are free"));
  CHECK(small);  // the file that failed took nothing, that which fits has its place
}

TEST_CASE("ALimitOnFileSizesIsAnErrorNotASignal") {
  const Folder folder;
  const auto backend = make_host_backend(1);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{1 << 20, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string error = error_of([&] { FileRows(*backend, folder.path, 100000, 64, 1); });
  setrlimit(RLIMIT_FSIZE, &before);
  CHECK_THAT(error, Catch::Contains("File too large"));
}

TEST_CASE("AFolderThatCannotBeMadeIsNamed") {
  const Folder folder;
  std::ofstream(folder.path / "file") << "x";
  const auto backend = make_host_backend(1);
  const std::string error = error_of([&] { FileRows(*backend, folder.path / "file" / "sub", 10, 4, 0); });
  CHECK_THAT(error, Catch::Contains("file/sub"));
}
