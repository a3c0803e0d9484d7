// The safetensors format (huggingface/safetensors): 8 bytes little-endian header length, a JSON header {name: {dtype,
// shape, data_offsets}}, then the data. Only F32 is written and read here. Files are untrusted: every length and offset
// is checked.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/part_file.hpp"
#include "data/mapped_file.hpp"

namespace sparrow {

struct TensorShape {
  std::string name;
  std::vector<int64_t> shape;
  int64_t size() const;
};

/// Writes tensors in the order given. A file is whole or absent, as PartFile says; finish() syncs.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::string& path, std::vector<TensorShape> tensors);

  /// The next values, tensors one after the other. Throws Error (naming the file and the system's reason) when it
  /// cannot be written.
  void append(std::span<const float> values);
  void finish();

 private:
  std::string path_;
  PartFile file_;
  int64_t left_ = 0;
};

/// A file's tensors, memory mapped. Views stay valid as long as the object.
class SafetensorsFile {
 public:
  /// Throws Error "path: ..." for anything that is not a well-formed file of F32 tensors.
  explicit SafetensorsFile(const std::string& path);

  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  /// Values of a tensor that must have this shape.
  std::span<const float> tensor(const std::string& name, const std::vector<int64_t>& shape) const;
  const std::string& path() const { return path_; }
  /// Asks the kernel to start reading all of it from disk, in order; returns at once.
  void read_ahead() const noexcept { file_.prefetch(0, file_.size()); }

 private:
  struct Entry {
    std::vector<int64_t> shape;
    std::span<const float> values;
  };
  std::string path_;
  MappedFile file_;
  std::map<std::string, Entry> tensors_;
};

}  // namespace sparrow
