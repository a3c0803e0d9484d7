#include "access/histogram.hpp"

#include <filesystem>
#include <limits>
#include <map>

#include "base/error.hpp"
#include "data/npy.hpp"
#include "data/npy_stream.hpp"

namespace sparrow {
namespace {

constexpr size_t kSmall = size_t{1} << 16, kWays = 4, kTogether = 16;

Histogram read_histogram(const std::string& path) {
  const NpyFile file(path);
  if (file.columns() != 2) fail("{}: {} columns, 2 expected (count, rows)", path, file.columns());
  const auto values = file.values<int64_t>();
  Histogram histogram;
  int64_t left = std::numeric_limits<int64_t>::max();
  for (size_t i = 0; i < values.size(); i += 2) {
    const CountBin bin{values[i], values[i + 1]};
    const bool falling = histogram.empty() || bin.count < histogram.back().count;
    if (bin.count < 0 || bin.rows < 1 || bin.rows > left || !falling)
      fail("{}: group {} ({} rows of count {}) is out of order or beyond 2^63 rows", path, i / 2, bin.rows, bin.count);
    left -= bin.rows;
    histogram.push_back(bin);
  }
  if (histogram.empty()) fail("{}: no rows", path);
  return histogram;
}

Histogram read_counts(const std::string& path) {
  NpyStream file(path);
  if (file.columns() != 1 || file.rows() < 1)
    fail("{}: shape ({}, {}), one count per row expected", path, file.rows(), file.columns());
  CountHistogram histogram;
  try {
    for (auto values = file.next(); !values.empty(); values = file.next()) histogram.add(values);
  } catch (const Error& error) {
    fail("{}: {}", path, error.what());
  }
  return histogram.bins();
}

}  // namespace

int64_t rows_of(const Histogram& histogram) {
  int64_t rows = 0;
  for (const CountBin& bin : histogram) rows += bin.rows;
  return rows;
}

void CountHistogram::add(std::span<const int64_t> counts) {
  // Neighbouring rows often have the same count: numbers of their own, so that one need not wait for the other.
  if (small_.empty()) small_.assign(kWays * kSmall, 0);
  for (size_t i = 0; i < counts.size(); ++i) {
    if (i % kTogether == 0 && i + kTogether <= counts.size()) {  // ids are often ranked: long runs of one count
      const int64_t first = counts[i];
      int64_t different = 0;
      for (size_t j = 0; j < kTogether; ++j) different |= counts[i + j] ^ first;
      if (different == 0 && static_cast<uint64_t>(first) < kSmall) {
        small_[first] += kTogether;
        i += kTogether - 1;
        continue;
      }
    }
    const auto count = static_cast<uint64_t>(counts[i]);  // negative ones are large
    if (count < kSmall) {
      ++small_[(i % kWays) * kSmall + count];
      continue;
    }
    if (counts[i] < 0) fail("counts: row {} was used {} times", rows_ + static_cast<int64_t>(i), counts[i]);
    large_.push_back(counts[i]);
  }
  rows_ += static_cast<int64_t>(counts.size());
}

Histogram CountHistogram::bins() const {
  std::map<int64_t, int64_t, std::greater<>> rows;
  for (const int64_t count : large_) ++rows[count];
  for (size_t i = 0; i < small_.size(); ++i)
    if (small_[i] > 0) rows[static_cast<int64_t>(i % kSmall)] += small_[i];
  Histogram result;
  for (const auto& [count, of_count] : rows) result.push_back({count, of_count});
  return result;
}

Histogram histogram_of(std::span<const int64_t> counts) {
  CountHistogram histogram;
  histogram.add(counts);
  return histogram.bins();
}

std::string counts_file(const std::string& folder, const char* what, int64_t table) {
  return (std::filesystem::path(folder) / fmt::format("{}_{:02}.npy", what, table)).string();
}

void save_histogram(const std::string& folder, int64_t table, const Histogram& histogram) {
  std::vector<int64_t> flat;
  for (const CountBin& bin : histogram) flat.insert(flat.end(), {bin.count, bin.rows});
  write_npy<int64_t>(counts_file(folder, "histogram", table), flat, {std::ssize(histogram), 2});
}

std::optional<Histogram> load_histogram(const std::string& folder, int64_t table) {
  const std::string histogram = counts_file(folder, "histogram", table), counts = counts_file(folder, "table", table);
  if (std::filesystem::exists(histogram)) return read_histogram(histogram);
  if (std::filesystem::exists(counts)) return read_counts(counts);
  return std::nullopt;
}

std::vector<Histogram> load_histograms(const std::string& folder, const std::vector<int64_t>& rows) {
  std::vector<Histogram> histograms;
  for (size_t t = 0; t < rows.size(); ++t) {
    const auto histogram = load_histogram(folder, t);
    if (!histogram) fail("{}: neither histogram_{:02}.npy nor table_{:02}.npy is there", folder, t, t);
    const int64_t found = rows_of(*histogram);
    if (found < rows[t]) fail("{}: {} rows of table {} are missing", folder, rows[t] - found, t);
    if (found > rows[t]) fail("{}: {} rows are beyond the {} rows of table {}", folder, found - rows[t], rows[t], t);
    histograms.push_back(*histogram);
  }
  return histograms;
}

}  // namespace sparrow
