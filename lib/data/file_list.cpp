#include "data/file_list.hpp"

#include <glob.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "base/error.hpp"

namespace sparrow {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Runs of digits compare as numbers, everything else as bytes.
bool natural_less(std::string_view a, std::string_view b) {
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      while (i < a.size() && a[i] == '0') ++i;
      while (j < b.size() && b[j] == '0') ++j;
      size_t i_end = i, j_end = j;
      while (i_end < a.size() && is_digit(a[i_end])) ++i_end;
      while (j_end < b.size() && is_digit(b[j_end])) ++j_end;
      if (i_end - i != j_end - j) return i_end - i < j_end - j;
      const int order = a.substr(i, i_end - i).compare(b.substr(j, j_end - j));
      if (order != 0) return order < 0;
      i = i_end;
      j = j_end;
    } else {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i;
      ++j;
    }
  }
  if ((i < a.size()) != (j < b.size())) return j < b.size();
  return a < b;  // equal but for leading zeros
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
  std::sort(files.begin(), files.end(), natural_less);
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
  if (files.empty()) fail("no data files are named");
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
  fail("{}: unknown kind of file; shards are *.tsv, *.txt or day_N (also with .gz) or *_dense.npy", file);
}

}  // namespace sparrow
