#include "data/npy_shard.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "data/batch.hpp"
#include "data/criteo.hpp"

namespace sparrow {
namespace {

std::string sibling(const std::string& dense_path, std::string_view kind) {
  constexpr std::string_view kSuffix = "_dense.npy";
  SPARROW_CHECK(dense_path.ends_with(kSuffix), "{}", dense_path);
  return fmt::format("{}_{}.npy", std::string_view(dense_path).substr(0, dense_path.size() - kSuffix.size()), kind);
}

void check_shape(const NpyFile& file, NpyType type, int64_t rows, int64_t columns) {
  const bool right_type = file.type() == type;
  if (!right_type || file.rows() != rows || file.columns() != columns || (columns > 1 && file.shape().size() != 2)) {
    fail("{}: {} of shape ({}, {}) expected, this is {}({}, {})", file.path(),
         type == NpyType::float32 ? "float32" : "int32", rows, columns, right_type ? "" : "another type, ", file.rows(),
         file.columns());
  }
}

template <class Hint>
void for_rows(const NpyFile& file, int64_t first, int64_t last, Hint hint) {
  const int64_t row = file.columns() * 4;
  hint(file.file(), file.data_offset() + first * row, file.data_offset() + last * row);
}

}  // namespace

NpyShard::NpyShard(const std::string& dense_path)
    : dense_(dense_path), sparse_(sibling(dense_path, "sparse")), labels_(sibling(dense_path, "labels")) {
  if (dense_.rows() == 0) fail("{}: the file holds no samples", dense_path);
  check_shape(dense_, NpyType::float32, dense_.rows(), kCriteoDense);
  check_shape(sparse_, NpyType::int32, dense_.rows(), kCriteoTables);
  check_shape(labels_, NpyType::int32, dense_.rows(), 1);
}

int64_t NpyShard::bytes() const {
  return dense_.file().size() + sparse_.file().size() + labels_.file().size();
}

void NpyShard::read(int64_t sample, float& label, float* dense, uint32_t* categories, int64_t stride) const {
  const int32_t click = labels_.values<int32_t>()[sample];
  if (click != 0 && click != 1) fail("{}: row {}: the label is {}, not 0 or 1", labels_.path(), sample, click);
  label = static_cast<float>(click);
  std::copy_n(dense_.values<float>().data() + sample * kCriteoDense, kCriteoDense, dense);
  const int32_t* row = sparse_.values<int32_t>().data() + sample * kCriteoTables;
  int32_t all = 0;
  for (int t = 0; t < kCriteoTables; ++t) {
    categories[t * stride] = static_cast<uint32_t>(row[t]);
    all |= row[t];
  }
  if (all >= 0) return;
  const auto negative = std::find_if(row, row + kCriteoTables, [](int32_t value) { return value < 0; });
  fail("{}: row {}: column C{} is negative ({})", sparse_.path(), sample, negative - row + 1, *negative);
}

void NpyShard::prefetch(int64_t first, int64_t last) const noexcept {
  for (const NpyFile* file : {&dense_, &sparse_, &labels_})
    for_rows(*file, first, last, [](const MappedFile& map, int64_t a, int64_t b) { map.prefetch(a, b); });
}

void NpyShard::release(int64_t first, int64_t last) const noexcept {
  for (const NpyFile* file : {&dense_, &sparse_, &labels_})
    for_rows(*file, first, last, [](const MappedFile& map, int64_t a, int64_t b) { map.release(a, b); });
}

}  // namespace sparrow
