#include "data/gzip.hpp"

#include <isa-l/igzip_lib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
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

void decompress_gzip(const std::string& path, const std::string& scratch_path) {
  Input input(path);
  PartFile output(scratch_path);
  std::vector<uint8_t> buffer(kOutputBytes);
  const auto state = std::make_unique<inflate_state>();
  isal_inflate_init(state.get());
  do {  // one gzip member
    isal_inflate_reset(state.get());
    state->crc_flag = ISAL_GZIP;  // header and trailer too, with CRC and length checked
    while (state->block_state != ISAL_BLOCK_FINISH) {
      input.refill(*state);
      const uint32_t before = state->avail_in;
      state->next_out = buffer.data();
      state->avail_out = static_cast<uint32_t>(buffer.size());
      const int result = isal_inflate(state.get());
      if (result != ISAL_DECOMP_OK) fail("{}: {} near byte {}", path, name_of(result), input.at(*state));
      const size_t produced = buffer.size() - state->avail_out;
      output.write(buffer.data(), produced);
      const bool stuck = produced == 0 && state->avail_in == before;  // all input is used, and more is needed
      if (stuck && state->block_state != ISAL_BLOCK_FINISH)
        fail("{}: cut short: the gzip data end after {} bytes", path, input.at(*state));
    }
  } while (!input.ended(*state));
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
