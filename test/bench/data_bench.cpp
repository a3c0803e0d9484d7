// Speed of reading: the parser on text in memory, the scan for line ends, and the loader on a file in the page cache.
// The text is the real sample where ../shared has it, else synthetic lines of its shape; both in bytes of text per
// second.
#include <benchmark/benchmark.h>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.hpp"
#include "base/random.hpp"
#include "data/criteo.hpp"
#include "data/criteo_tsv.hpp"
#include "data/gzip.hpp"
#include "data/loader.hpp"

namespace {

using namespace sparrow;

std::string synthetic_text(int64_t lines) {
  std::string text;
  for (int64_t i = 0; i < lines; ++i) {
    text += i % 4 == 0 ? '1' : '0';
    for (uint32_t c = 0; c < kCriteoDense; ++c) {
      const uint32_t word = random_words(1, c, static_cast<uint64_t>(i), 0).v[0];
      text += word % 4 == 0 ? "\t" : fmt::format("\t{}", word % (1u << word % 16));
    }
    for (uint32_t c = 0; c < kCriteoTables; ++c) {
      const uint32_t word = random_words(2, c, static_cast<uint64_t>(i), 0).v[0];
      text += word % 8 == 0 ? "\t" : fmt::format("\t{:08x}", word);
    }
    text += '\n';
  }
  return text;
}

/// A file of text to read, removed at the end.
class TextFile {
 public:
  TextFile() : folder_(std::filesystem::temp_directory_path() / fmt::format("sparrow_data_bench.{}", ::getpid())) {
    std::filesystem::create_directories(folder_);
    path_ = (folder_ / "text.tsv").string();
    const char* shared = std::getenv("SPARROW_SHARED");
    const std::string sample = fmt::format("{}/data/kaggle_sample.tsv.gz", shared != nullptr ? shared : "../shared");
    if (std::filesystem::exists(sample)) {
      decompress_gzip(sample, path_);
    } else {
      const std::string text = synthetic_text(100000);
      std::FILE* file = std::fopen(path_.c_str(), "wb");
      if (file == nullptr || std::fwrite(text.data(), 1, text.size(), file) != text.size()) fail_errno(path_);
      std::fclose(file);
    }
  }
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;
  ~TextFile() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::filesystem::path folder_;
  std::string path_;
};

const TextFile& text_file() {
  static const TextFile file;
  return file;
}

void set_rates(benchmark::State& state, int64_t bytes, int64_t samples) {
  state.SetBytesProcessed(state.iterations() * bytes);
  state.SetItemsProcessed(state.iterations() * samples);
}

void BM_ParseLines(benchmark::State& state) {
  const MappedFile file(text_file().path());
  const std::string text(file.bytes());
  SampleBlock block(1024);
  const SampleTarget to = block.target();
  int64_t lines = 0;
  for (auto _ : state) {
    lines = 0;
    const char* const end = text.data() + text.size();
    for (const char* p = text.data(); p < end; ++lines) {
      const int64_t i = lines % 1024;
      p = parse_criteo_line(p, end, to.labels[i], to.dense + i * kCriteoDense, to.categories + i, to.stride);
      if (p == nullptr) fail("line {} is malformed", lines + 1);
    }
  }
  set_rates(state, static_cast<int64_t>(text.size()), lines);
}
BENCHMARK(BM_ParseLines)->Unit(benchmark::kMillisecond);

void BM_ScanShard(benchmark::State& state) {
  ShardIndex index;
  for (auto _ : state) index = scan_shard(text_file().path());
  set_rates(state, index.bytes, index.samples);
}
BENCHMARK(BM_ScanShard)->Unit(benchmark::kMillisecond);

/// One pass of the loader as one rank of `ranks`; rates are of the whole file's text divided by the number of ranks.
void BM_Loader(benchmark::State& state) {
  const ShardIndex index = scan_shard(text_file().path());
  const Dataset data({index});
  LoaderOptions options;
  options.shapes.rows.assign(kCriteoTables, 1000000);
  const PositionMap positions(options.shapes.rows);
  options.global_batch = 4096;
  options.ranks = static_cast<int>(state.range(0));
  options.shuffle_window = state.range(1);
  int64_t samples = 0;
  for (auto _ : state) {
    Loader loader(data, data.all(), positions, options);
    samples = 0;
    while (const Batch* batch = loader.next()) samples += batch->samples;
  }
  set_rates(state, index.bytes / options.ranks, samples);
}
BENCHMARK(BM_Loader)
    ->ArgNames({"ranks", "window"})
    ->Args({1, 0})
    ->Args({8, 0})
    ->Args({64, 0})
    ->Args({1, 65536})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
