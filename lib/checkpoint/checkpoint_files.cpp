#include "checkpoint/checkpoint_files.hpp"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/text_file.hpp"

namespace sparrow {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int kFormatVersion = 1;
constexpr int64_t kFileBytes = int64_t{256} << 20;  ///< about this much in a row file

std::string index_file(const std::string& folder) {
  return folder + "/index.json";
}

int64_t whole_number(const json& value, const std::string& key, const std::string& path) {
  if (!value.is_number_integer() || value.get<int64_t>() < 0)
    fail("{}: {} is missing or not a number of at least 0", path, key);
  return value.get<int64_t>();
}

std::vector<std::string> checkpoints(const std::string& dir, bool whole) {
  std::vector<std::string> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(dir + "/checkpoints", none))
    if (entry.path().filename().string().starts_with("samples_") && fs::exists(index_file(entry.path())) == whole)
      found.push_back(entry.path().string());
  std::sort(found.begin(), found.end());  // zero-padded numbers sort by samples
  return found;
}

}  // namespace

std::string dense_file(const std::string& folder) {
  return folder + "/dense.safetensors";
}

std::string row_file(const std::string& folder, int table, int64_t first) {
  return fmt::format("{}/table_{:02}/rows_{:010}.safetensors", folder, table, first);
}

std::vector<RowRange> row_ranges(const Tables& tables, int64_t rows_per_file) {
  std::vector<RowRange> ranges;
  for (int t = 0; t < tables.count(); ++t)
    for (int64_t first = 0; first < tables.rows(t); first += rows_per_file)
      ranges.push_back({t, first, std::min(rows_per_file, tables.rows(t) - first)});
  return ranges;
}

int64_t rows_per_file(int64_t values_per_row) {
  return std::max<int64_t>(1, kFileBytes / (4 * values_per_row));
}

void write_index(const std::string& folder, const CheckpointIndex& index) {
  const json text{{"format", "sparrow checkpoint"},
                  {"version", kFormatVersion},
                  {"steps", index.position.steps},
                  {"samples", index.position.samples},
                  {"embedding_dim", index.dim},
                  {"state_dim", index.state_dim},
                  {"rows", index.rows},
                  {"rows_per_file", index.rows_per_file}};
  write_text_file(index_file(folder), text.dump(2) + '\n');
}

CheckpointIndex read_index(const std::string& folder) {
  const std::string path = index_file(folder);
  const json text = json::parse(read_text_file(path), nullptr, false);
  if (!text.is_object() || text.value("format", json()) != "sparrow checkpoint")
    fail("{}: not the index of a checkpoint", path);
  if (text.value("version", json()) != kFormatVersion)
    fail("{}: unsupported version {}", path, text.value("version", json()).dump());
  const auto number = [&](const char* key) { return whole_number(text.value(key, json()), key, path); };
  CheckpointIndex index{
      {number("steps"), number("samples")}, number("embedding_dim"), number("state_dim"), {}, number("rows_per_file")};
  if (index.rows_per_file < 1) fail("{}: rows_per_file is 0", path);
  const json rows = text.value("rows", json());
  if (!rows.is_array()) fail("{}: rows is missing or not a list", path);
  for (const json& n : rows) index.rows.push_back(whole_number(n, "rows", path));
  return index;
}

std::string checkpoint_folder(const std::string& dir, int64_t samples) {
  return fmt::format("{}/checkpoints/samples_{:012}", dir, samples);
}

std::vector<std::string> whole_checkpoints(const std::string& dir) {
  return checkpoints(dir, true);
}

std::vector<std::string> broken_checkpoints(const std::string& dir) {
  return checkpoints(dir, false);
}

void remove_checkpoint(const std::string& folder) {
  fs::remove(index_file(folder));
  fs::remove_all(folder);
}

}  // namespace sparrow
