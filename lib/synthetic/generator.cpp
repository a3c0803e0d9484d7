#include "synthetic/generator.hpp"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <regex>

#include "base/error.hpp"
#include "base/text_file.hpp"
#include "synthetic/generator_shard.hpp"

namespace sparrow {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr int kGeneratorVersion = 1;  // goes up whenever the same arguments give other bytes
constexpr int64_t kBlockSamples = 8192;

ShardFormat format_of(const GenerateOptions& options) {
  if (options.format == GeneratedFormat::npy) return ShardFormat::npy;
  return options.gzip ? ShardFormat::tsv_gzip : ShardFormat::tsv;
}

std::string stem_of(const GenerateOptions& options, int shard) {
  return fmt::format("{}/day_{}", options.out, shard);
}

std::string sidecar_of(const GenerateOptions& options, int shard) {
  return fmt::format("{}/.day_{}.arguments", options.out, shard);
}

int64_t first_sample(const GenerateOptions& options, int shard) {
  const int64_t whole = options.samples / options.shards, rest = options.samples % options.shards;
  return whole * shard + rest * shard / options.shards;  // floor(samples * shard / shards), which could overflow
}

/// Everything the bytes depend on.
ordered_json arguments_of(const GenerateOptions& options) {
  return {{"generator", kGeneratorVersion},
          {"like", word_of(options.like).text},
          {"samples", options.samples},
          {"shards", options.shards},
          {"seed", options.seed},
          {"scale", options.scale},
          {"format", word_of(options.format).text},
          {"gzip", options.gzip}};
}

/// "" if it is not there.
std::string text_of(const std::string& path) {
  return fs::is_regular_file(path) ? read_text_file(path) : std::string();
}

bool shard_is_there(const GenerateOptions& options, int shard) {
  if (text_of(sidecar_of(options, shard)) != arguments_of(options).dump()) return false;
  return std::ranges::all_of(shard_paths(stem_of(options, shard), format_of(options)),
                             [](const std::string& path) { return fs::exists(path); });
}

/// 12 for "day_12.tsv", "day_12_dense.npy.part", ".day_12.arguments"; -1 for names that no generated file has, such as
/// Criteo's day_12.
int shard_of(const std::string& name) {
  static const std::regex kGenerated(
      R"((?:day_(\d{1,9})(?:\.tsv|\.tsv\.gz|_dense\.npy|_sparse\.npy|_labels\.npy)|\.day_(\d{1,9})\.arguments)(?:\.part)?)");
  std::smatch found;
  if (!std::regex_match(name, found, kGenerated)) return -1;
  return std::stoi(found[found[1].matched ? 1 : 2].str());
}

/// Removes what earlier runs left of this part's shards: broken ones, and if allowed those with other arguments. Every
/// part looks only at its own, so parts that start at different times do not disturb each other.
void clear_other_shards(const GenerateOptions& options, int part, int parts, bool overwrite) {
  std::vector<fs::path> others;
  for (const fs::directory_entry& entry : fs::directory_iterator(options.out)) {
    const int shard = shard_of(entry.path().filename().string());
    if (shard < 0 || shard % parts != part) continue;
    const std::string arguments = text_of(sidecar_of(options, shard));
    if (shard < options.shards && arguments == arguments_of(options).dump()) continue;
    if (arguments.empty()) fail("{} was not written by sparrow generate: name another folder", entry.path().string());
    if (!overwrite)
      fail("{} was generated with other arguments: allow overwriting it (--overwrite), or name another folder",
           entry.path().string());
    others.push_back(entry.path());
  }
  for (const fs::path& path : others) fs::remove(path);
}

void write_shard(const GenerateOptions& options, const SampleModel& model, int shard, int threads) {
  const int64_t first = first_sample(options, shard), last = first_sample(options, shard + 1);
  const ShardFormat format = format_of(options);
  ShardWriter writer(stem_of(options, shard), format, last - first);
  std::deque<std::future<ShardBlock>> blocks;  // in order, at most `threads` of them
  for (int64_t next = first; next < last || !blocks.empty();) {
    while (next < last && std::ssize(blocks) < threads) {
      const int64_t count = std::min(kBlockSamples, last - next);
      // One thread: formatted when it is asked for, by this thread.
      const auto policy = threads == 1 ? std::launch::deferred : std::launch::async;
      blocks.push_back(
          std::async(policy, [&model, next, count, format] { return format_block(model, next, count, format); }));
      next += count;
    }
    writer.append(blocks.front().get());
    blocks.pop_front();
  }
  writer.finish();
}

void write_manifest(const GenerateOptions& options, int part) {
  ordered_json files = ordered_json::array();
  for (int shard = 0; shard < options.shards; ++shard) {
    const int64_t samples = first_sample(options, shard + 1) - first_sample(options, shard);
    for (const std::string& path : shard_paths(stem_of(options, shard), format_of(options)))
      files.push_back({{"name", fs::path(path).filename().string()},
                       {"samples", samples},
                       {"bytes", static_cast<int64_t>(fs::file_size(path))}});
  }
  const ordered_json manifest{{"arguments", arguments_of(options)}, {"files", files}};
  write_text_file(options.out + "/manifest.json", manifest.dump(1) + "\n", part);
}

}  // namespace

void check_generate_options(const GenerateOptions& options) {
  if (options.out.empty()) fail("generate: out: no folder is named");
  if (options.samples < 1) fail("generate: samples: {} (at least 1)", options.samples);
  if (options.shards < 1 || options.shards > options.samples || options.shards > 100000)
    fail("generate: shards: {} (1 to 100000, at most one per sample)", options.shards);
  if (!(options.scale > 0 && options.scale <= 2)) fail("generate: scale: {} (above 0, at most 2)", options.scale);
  if (options.gzip && options.format != GeneratedFormat::tsv) fail("generate: gzip: only with format tsv");
}

std::vector<std::string> generated_files(const GenerateOptions& options) {
  std::vector<std::string> files;
  for (int shard = 0; shard < options.shards; ++shard)
    files.push_back(shard_paths(stem_of(options, shard), format_of(options))[0]);
  return files;
}

bool is_generated(const GenerateOptions& options) {
  check_generate_options(options);
  const auto manifest = ordered_json::parse(text_of(options.out + "/manifest.json"), nullptr, false);
  if (!manifest.is_object() || !manifest.contains("files") ||
      manifest.value("arguments", ordered_json()) != arguments_of(options))
    return false;
  for (int shard = 0; shard < options.shards; ++shard)
    if (!shard_is_there(options, shard)) return false;
  return std::ranges::all_of(manifest["files"], [&](const ordered_json& file) {
    std::error_code error;
    const auto bytes = fs::file_size(options.out + "/" + file.value("name", ""), error);
    return !error && static_cast<int64_t>(bytes) == file.value("bytes", int64_t{-1});
  });
}

bool generate(const GenerateOptions& options, int part, int parts, int threads, bool overwrite) {
  check_generate_options(options);
  SPARROW_CHECK(0 <= part && part < parts && threads >= 1, "part {} of {}, {} threads", part, parts, threads);
  std::error_code error;
  fs::create_directories(options.out, error);
  if (error) fail("cannot make folder {}: {}", options.out, error.message());
  clear_other_shards(options, part, parts, overwrite);

  const SampleModel model(criteo_statistics(word_of(options.like).text), options.scale, options.seed);
  for (int shard = part; shard < options.shards; shard += parts) {
    if (shard_is_there(options, shard)) continue;
    write_text_file(sidecar_of(options, shard), arguments_of(options).dump(),
                    part);  // first: a broken run is then recognised
    write_shard(options, model, shard, threads);
  }
  for (int shard = 0; shard < options.shards; ++shard)
    if (!shard_is_there(options, shard)) return false;
  write_manifest(options, part);
  return true;
}

}  // namespace sparrow
