#include "checkpoint/safetensors.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.hpp"

namespace sparrow {

using nlohmann::json;

int64_t TensorShape::size() const {
  int64_t n = 1;
  for (const int64_t d : shape) n *= d;
  return n;
}

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::vector<TensorShape> tensors)
    : path_(path), file_(path) {
  json header = json::object();
  int64_t offset = 0;
  for (const TensorShape& tensor : tensors) {
    const int64_t end = offset + tensor.size() * 4;
    header[tensor.name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  left_ = offset;
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the data are aligned
  const uint64_t length = text.size();
  file_.write(&length, sizeof length);
  file_.write(text.data(), text.size());
}

void SafetensorsWriter::append(std::span<const float> values) {
  const auto bytes = static_cast<int64_t>(values.size_bytes());
  SPARROW_CHECK(bytes <= left_, "{}: more values than its header says", path_);
  file_.write(values.data(), values.size_bytes());
  left_ -= bytes;
}

void SafetensorsWriter::finish() {
  SPARROW_CHECK(left_ == 0, "{}: {} bytes short of what its header says", path_, left_);
  file_.sync();
  file_.finish();
}

namespace {

struct Header {
  std::string_view json_text;
  std::string_view data;
};

Header split(const std::string& path, std::string_view bytes) {
  uint64_t length = 0;
  if (bytes.size() < 8) fail("{}: not a safetensors file: {} bytes", path, bytes.size());
  std::memcpy(&length, bytes.data(), 8);
  if (length > bytes.size() - 8) fail("{}: its header of {} bytes goes beyond its end", path, length);
  return {bytes.substr(8, length), bytes.substr(8 + length)};
}

std::vector<int64_t> read_shape(const std::string& path, const std::string& name, const json& shape) {
  std::vector<int64_t> result;
  int64_t size = 1;
  for (const json& d : shape) {
    if (!d.is_number_integer() || d.get<int64_t>() < 0) fail("{}: tensor {}: bad shape {}", path, name, shape.dump());
    result.push_back(d.get<int64_t>());
    if (result.back() > 0 && size > std::numeric_limits<int64_t>::max() / 8 / result.back())
      fail("{}: tensor {}: shape {} is too large", path, name, shape.dump());
    size *= result.back();
  }
  return result;
}

/// A tensor's bytes in the data.
struct Extent {
  uint64_t begin, end;
  std::string name;
};

/// The format wants every byte of the data in exactly one tensor.
void check_cover(const std::string& path, std::vector<Extent> extents, uint64_t data_bytes) {
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  uint64_t covered = 0;
  for (const Extent& extent : extents) {
    if (extent.begin < covered) fail("{}: tensor {} overlaps another one", path, extent.name);
    if (extent.begin > covered) fail("{}: a gap in the data before tensor {}", path, extent.name);
    covered = extent.end;
  }
  if (covered != data_bytes) fail("{}: {} bytes beyond its tensors", path, data_bytes - covered);
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : path_(path), file_(path) {
  const Header header = split(path, file_.bytes());
  const json parsed = json::parse(header.json_text, nullptr, false);
  if (!parsed.is_object()) fail("{}: its header is not a JSON object", path);
  std::vector<Extent> extents;
  for (const auto& [name, tensor] : parsed.items()) {
    if (name == "__metadata__") continue;
    if (!tensor.is_object() || !tensor.contains("shape") || !tensor["shape"].is_array() ||
        !tensor.contains("data_offsets") || tensor.value("dtype", json()) != "F32")
      fail("{}: tensor {}: not an F32 tensor with shape and data_offsets", path, name);
    const json& offsets = tensor["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned())
      fail("{}: tensor {}: bad data_offsets", path, name);
    const auto begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
    const TensorShape shape{name, read_shape(path, name, tensor["shape"])};
    if (begin > end || end > header.data.size() || end - begin != static_cast<uint64_t>(shape.size()) * 4)
      fail("{}: tensor {}: data_offsets {} do not fit its shape or the file", path, name, offsets.dump());
    extents.push_back({begin, end, name});
    const char* data = header.data.data() + begin;
    if (reinterpret_cast<uintptr_t>(data) % alignof(float) != 0) fail("{}: tensor {} is not aligned", path, name);
    const void* values = data;
    tensors_[name] = {shape.shape, {static_cast<const float*>(values), static_cast<size_t>(shape.size())}};
  }
  check_cover(path, std::move(extents), header.data.size());
}

std::span<const float> SafetensorsFile::tensor(const std::string& name, const std::vector<int64_t>& shape) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail("{}: no tensor {}", path_, name);
  if (found->second.shape != shape)
    fail("{}: tensor {} has shape ({}), expected ({})", path_, name, fmt::join(found->second.shape, ", "),
         fmt::join(shape, ", "));
  return found->second.values;
}

}  // namespace sparrow
