#include "data/gzip.hpp"

#include <isa-l/igzip_lib.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/error.hpp"
#include "base/part_file.hpp"
#include "base/random.hpp"
#include "data/mapped_file.hpp"

namespace sparrow {
namespace {

constexpr size_t kOutputBytes = size_t{1} << 20;
constexpr int64_t kInputBytes = int64_t{1}
                                << 20;  // per call: avail_in is 32 bits, and read pages are given back at this rate

std::string_view name_of(int inflate_result) {
  switch (inflate_result) {
    case ISAL_INVALID_BLOCK:
    case ISAL_INVALID_SYMBOL:
    case ISAL_INVALID_LOOKBACK:
      return "corrupt compressed data";
    case ISAL_INVALID_WRAPPER:
    case ISAL_UNSUPPORTED_METHOD:
      return "no gzip header";
    case ISAL_INCORRECT_CHECKSUM:
      return "wrong checksum";
    default:
      return "cannot be decompressed";
  }
}

/// The compressed file, fed to the decompressor piece by piece.
class Input {
 public:
  explicit Input(const std::string& path) : file_(path) {}
  void refill(inflate_state& state) {
    if (state.avail_in > 0) return;
    file_.release(released_, fed_);
    released_ = fed_;
    const int64_t piece = std::min(kInputBytes, file_.size() - fed_);
    state.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(file_.data())) + fed_;
    state.avail_in = static_cast<uint32_t>(piece);
    fed_ += piece;
    file_.prefetch(fed_, std::min(fed_ + 4 * kInputBytes, file_.size()));
  }
  bool ended(const inflate_state& state) const { return state.avail_in == 0 && fed_ == file_.size(); }
  int64_t at(const inflate_state& state) const { return fed_ - state.avail_in; }

 private:
  MappedFile file_;
  int64_t fed_ = 0;
  int64_t released_ = 0;
};

}  // namespace

struct GzipReader::State {
  std::string path;
  Input input{path};
  std::vector<uint8_t> buffer = std::vector<uint8_t>(kOutputBytes);
  inflate_state inflate = {};
};

GzipReader::GzipReader(const std::string& path) : state_(new State{path}) {
  isal_inflate_init(&state_->inflate);
  state_->inflate.crc_flag = ISAL_GZIP;  // header and trailer too, with CRC and length checked
}

GzipReader::~GzipReader() = default;

std::string_view GzipReader::next() {
  inflate_state& inflate = state_->inflate;
  Input& input = state_->input;
  std::vector<uint8_t>& buffer = state_->buffer;
  for (;;) {
    if (inflate.block_state == ISAL_BLOCK_FINISH) {  // of one gzip member
      if (input.ended(inflate)) return {};
      isal_inflate_reset(&inflate);
      inflate.crc_flag = ISAL_GZIP;
    }
    input.refill(inflate);
    const uint32_t before = inflate.avail_in;
    inflate.next_out = buffer.data();
    inflate.avail_out = static_cast<uint32_t>(buffer.size());
    const int result = isal_inflate(&inflate);
    if (result != ISAL_DECOMP_OK) fail("{}: {} near byte {}", state_->path, name_of(result), input.at(inflate));
    const size_t produced = buffer.size() - inflate.avail_out;
    if (produced > 0) return {reinterpret_cast<const char*>(buffer.data()), produced};
    if (inflate.avail_in == before && inflate.block_state != ISAL_BLOCK_FINISH)  // all is used, and more is needed
      fail("{}: cut short: the gzip data end after {} bytes", state_->path, input.at(inflate));
  }
}

void decompress_gzip(const std::string& path, const std::string& scratch_path) {
  GzipReader reader(path);
  PartFile output(scratch_path);
  for (auto text = reader.next(); !text.empty(); text = reader.next()) output.write(text.data(), text.size());
  output.finish();
}

std::string scratch_name(const std::string& path, const std::string& scratch) {
  uint64_t hash = 0;
  const std::filesystem::path full = std::filesystem::absolute(path).lexically_normal();
  for (const char c : full.string()) hash = mix64(hash ^ static_cast<unsigned char>(c));
  const std::filesystem::path stem = full.filename().stem();  // without .gz
  return (std::filesystem::path(scratch) / fmt::format("{}.{:016x}.tsv", stem.string(), hash)).string();
}

}  // namespace sparrow
