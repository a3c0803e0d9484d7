#include "data/file_list.hpp"

#include <glob.h>

#include <algorithm>
#include <utility>

#include "base/error.hpp"

namespace sparrow {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Natural order is the order of these keys: a run of digits stands behind their number, so that it compares as one.
std::string natural_key(std::string_view name) {
  std::string key;
  for (size_t i = 0; i < name.size();) {
    if (!is_digit(name[i])) {
      key += name[i++];
      continue;
    }
    const size_t first = std::min(name.find_first_not_of('0', i), name.size());
    i = std::min(name.find_first_not_of("0123456789", first), name.size());
    key += fmt::format("0{}{}", static_cast<char>(i - first), name.substr(first, i - first));
  }
  return key;
}

std::vector<std::string> matches_of(const std::string& pattern) {
  glob_t found{};
  struct Free {
    glob_t* found;
    ~Free() { ::globfree(found); }
  } free{&found};
  const int result = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found);
  if (result == GLOB_NOMATCH) fail("no file matches {}", pattern);
  if (result != 0) fail("cannot list the files that match {}", pattern);
  std::vector<std::string> files(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  std::ranges::sort(files, {}, [](const std::string& file) { return std::pair(natural_key(file), file); });
  return files;
}

}  // namespace

std::vector<std::string> expand_files(const std::vector<std::string>& patterns) {
  std::vector<std::string> files;
  for (const std::string& pattern : patterns) {
    if (pattern.find_first_of("*?[") == std::string::npos) {
      files.push_back(pattern);
      continue;
    }
    for (std::string& file : matches_of(pattern)) files.push_back(std::move(file));
  }
  if (files.empty()) fail("no data files given");
  return files;
}

bool is_gzip(std::string_view file) {
  return file.ends_with(".gz");
}

ShardKind shard_kind(const std::string& file) {
  std::string_view name(file);
  name.remove_prefix(std::min(name.size(), name.rfind('/') + 1));
  if (name.ends_with("_dense.npy")) return ShardKind::npy;
  if (name.ends_with(".npy")) fail("{}: name an npy shard by its file ..._dense.npy", file);
  if (is_gzip(name)) name.remove_suffix(3);
  const bool day = name.starts_with("day_") && name.size() > 4 && std::all_of(name.begin() + 4, name.end(), is_digit);
  if (day || name.ends_with(".tsv") || name.ends_with(".txt")) return ShardKind::tsv;
  fail("{}: unknown file type; expected *.tsv, *.txt or day_N (also with .gz) or *_dense.npy", file);
}

}  // namespace sparrow
