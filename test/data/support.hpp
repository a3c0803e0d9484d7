// What the tests of data share: a temporary folder, lines of Criteo's format with known values, and the files made of
// them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/criteo.hpp"
#include "test/support/error_of.hpp"

namespace sparrow::test {

/// A new empty folder, removed with everything in it.
class TempFolder {
 public:
  TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder();
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }
  std::vector<std::string> names() const;  ///< of the files in it, sorted

 private:
  std::filesystem::path path_;
};

/// One sample as values; a missing value is 0, as the reader sees it.
struct Sample {
  float label = 0;
  int64_t integers[kCriteoDense] = {};
  uint32_t categories[kCriteoTables] = {};
  bool missing[kCriteoColumns] = {};  ///< written as an empty field

  std::string line() const;  ///< with its line feed
};

/// Sample number i of a pseudo-random stream: about a quarter missing, integers from -3 to beyond 32 bits.
Sample make_sample(uint64_t seed, uint64_t i);
std::vector<Sample> make_samples(uint64_t seed, int64_t n);
std::string text_of(const std::vector<Sample>& samples);

void write_file(const std::string& path, std::string_view bytes);
std::string read_file(const std::string& path);

/// One gzip member.
std::string gzip_of(std::string_view bytes);

/// Writes X_dense.npy, X_sparse.npy (categories modulo 2^31, which int32 can hold), X_labels.npy; returns the first
/// one's path.
std::string write_npy_triplet(const std::string& stem, const std::vector<Sample>& samples, bool two_dimensional_labels);

}  // namespace sparrow::test
