#include <fmt/format.h>
#include <isa-l/igzip_lib.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/error.hpp"
#include "base/random.hpp"
#include "data/npy.hpp"
#include "support.hpp"

namespace sparrow::test {

TempFolder::TempFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "sparrow_data_test.XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) fail_errno(name);
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<std::string> TempFolder::names() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path_))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string Sample::line() const {
  std::string text = label == 1.0f ? "1" : "0";
  for (int i = 0; i < kCriteoDense; ++i) text += missing[1 + i] ? "\t" : fmt::format("\t{}", integers[i]);
  for (int t = 0; t < kCriteoTables; ++t)
    text += missing[1 + kCriteoDense + t] ? "\t" : fmt::format("\t{:08x}", categories[t]);
  return text + "\n";
}

Sample make_sample(uint64_t seed, uint64_t i) {
  Sample sample;
  sample.label = random_words(seed, 0, i, 0).v[0] % 4 == 0 ? 1.0f : 0.0f;
  for (uint32_t c = 1; c < kCriteoColumns; ++c) {
    const Philox4 words = random_words(seed, c, i, 0);
    sample.missing[c] = words.v[0] % 4 == 0;
    if (sample.missing[c]) continue;
    if (c <= kCriteoDense) {
      const uint64_t wide = uint64_t{words.v[2]} << 32 | words.v[1];
      sample.integers[c - 1] = static_cast<int64_t>(wide >> (1 + words.v[3] % 63)) - 3;  // every length of number
    } else {
      sample.categories[c - 1 - kCriteoDense] = words.v[1] >> (words.v[3] % 32);
    }
  }
  return sample;
}

std::vector<Sample> make_samples(uint64_t seed, int64_t n) {
  std::vector<Sample> samples;
  for (int64_t i = 0; i < n; ++i) samples.push_back(make_sample(seed, static_cast<uint64_t>(i)));
  return samples;
}

std::string text_of(const std::vector<Sample>& samples) {
  std::string text;
  for (const Sample& sample : samples) text += sample.line();
  return text;
}

void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) fail_errno(path);
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  if (!file) fail_errno(path);
  return bytes.str();
}

std::string gzip_of(std::string_view bytes) {
  std::string input(bytes), output(bytes.size() + bytes.size() / 8 + 1024, '\0');
  isal_zstream stream;
  isal_deflate_stateless_init(&stream);
  stream.next_in = reinterpret_cast<uint8_t*>(input.data());
  stream.avail_in = static_cast<uint32_t>(input.size());
  stream.next_out = reinterpret_cast<uint8_t*>(output.data());
  stream.avail_out = static_cast<uint32_t>(output.size());
  stream.end_of_stream = 1;
  stream.gzip_flag = IGZIP_GZIP;
  if (isal_deflate_stateless(&stream) != COMP_OK) fail("isal_deflate_stateless");
  output.resize(stream.total_out);
  return output;
}

std::string write_npy_triplet(const std::string& stem, const std::vector<Sample>& samples,
                              bool two_dimensional_labels) {
  const int64_t n = static_cast<int64_t>(samples.size());
  std::vector<float> dense;
  std::vector<int32_t> sparse, labels;
  for (const Sample& sample : samples) {
    for (const int64_t x : sample.integers) dense.push_back(criteo_dense_value(x));
    for (const uint32_t value : sample.categories) sparse.push_back(static_cast<int32_t>(value & 0x7fffffffu));
    labels.push_back(static_cast<int32_t>(sample.label));
  }
  write_npy<float>(stem + "_dense.npy", dense, {n, kCriteoDense});
  write_npy<int32_t>(stem + "_sparse.npy", sparse, {n, kCriteoTables});
  write_npy<int32_t>(stem + "_labels.npy", labels,
                     two_dimensional_labels ? std::vector<int64_t>{n, 1} : std::vector<int64_t>{n});
  return stem + "_dense.npy";
}

}  // namespace sparrow::test
