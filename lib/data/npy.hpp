// NumPy's .npy files, the part the project needs: float32, int32, int64, one or two dimensions, C order, little endian;
// format versions 1.0 and 2.0 are read, 1.0 is written. Format: numpy.lib.format's documentation ("NEP 1"). Headers are
// checked against the size of the file, so one that lies gives an Error and never a read outside the file.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/part_file.hpp"
#include "data/mapped_file.hpp"

namespace sparrow {

enum class NpyType { float32, int32, int64 };

template <class T>
concept NpyValue = std::same_as<T, float> || std::same_as<T, int32_t> || std::same_as<T, int64_t>;

template <NpyValue T>
constexpr NpyType npy_type() {
  if constexpr (std::same_as<T, float>) return NpyType::float32;
  if constexpr (std::same_as<T, int32_t>) return NpyType::int32;
  return NpyType::int64;
}

/// A mapped .npy file. Throws Error naming the file for everything it does not read.
class NpyFile {
 public:
  explicit NpyFile(const std::string& path);

  const std::string& path() const { return path_; }
  NpyType type() const { return type_; }
  const std::vector<int64_t>& shape() const { return shape_; }  ///< one or two numbers
  int64_t rows() const { return shape_[0]; }
  int64_t columns() const { return shape_.size() == 2 ? shape_[1] : 1; }

  /// All rows() * columns() values, row major, valid as long as this object. Throws Error if the file holds another
  /// type.
  template <NpyValue T>
  std::span<const T> values() const {
    return {static_cast<const T*>(data_of(npy_type<T>())), static_cast<size_t>(rows() * columns())};
  }

  const MappedFile& file() const { return file_; }
  int64_t data_offset() const { return data_offset_; }

 private:
  const void* data_of(NpyType type) const;

  std::string path_;
  MappedFile file_;
  NpyType type_ = NpyType::float32;
  std::vector<int64_t> shape_;
  int64_t data_offset_ = 0;
};

/// Writes a .npy file piece by piece: append() until all values of the shape are there, then finish(). The file is
/// whole or absent, as PartFile says.
class NpyWriter {
 public:
  /// shape: one or two numbers, not negative.
  NpyWriter(const std::string& path, NpyType type, std::vector<int64_t> shape);

  /// The next values in C order. Throws Error when they are of another type or more than the shape holds, or when
  /// writing fails.
  template <NpyValue T>
  void append(std::span<const T> values) {
    append_bytes(npy_type<T>(), values.data(), static_cast<int64_t>(values.size()));
  }
  /// Throws Error when values are missing or the file cannot be completed.
  void finish();

 private:
  void append_bytes(NpyType type, const void* values, int64_t count);

  std::string path_;
  NpyType type_;
  int64_t missing_;  ///< values still to come
  PartFile file_;
};

/// Writes a whole array. values.size() must be the product of shape.
template <NpyValue T>
void write_npy(const std::string& path, std::span<const T> values, std::vector<int64_t> shape) {
  NpyWriter writer(path, npy_type<T>(), std::move(shape));
  writer.append(values);
  writer.finish();
}

}  // namespace sparrow
