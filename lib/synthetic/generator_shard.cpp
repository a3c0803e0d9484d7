#include "synthetic/generator_shard.hpp"

#include <isa-l/igzip_lib.h>

#include <algorithm>
#include <charconv>

#include "base/error.hpp"
#include "data/criteo.hpp"

namespace sparrow {

void append_line(const CriteoSample& sample, std::string& text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::array<char, 2 + kCriteoDense * 21 + kCriteoTables * 9> line;  // 20 characters are the longest int64
  char* at = line.data();
  *at++ = static_cast<char>('0' + sample.label);
  for (size_t i = 0; i < kCriteoDense; ++i) {
    *at++ = '\t';
    if ((sample.missing_integers >> i & 1) == 0) at = std::to_chars(at, at + 20, sample.integers[i]).ptr;
  }
  for (int c = 0; c < kCriteoTables; ++c) {
    *at++ = '\t';
    const uint32_t rank = sample.ranks[c];
    if (rank == 0) continue;
    const uint32_t value = criteo_value(c, rank);
    for (int shift = 28; shift >= 0; shift -= 4) *at++ = kDigits[value >> shift & 15];
  }
  *at++ = '\n';
  text.append(line.data(), at - line.data());
}

std::string gzip_member(std::string_view text) {
  std::vector<uint8_t> work(ISAL_DEF_LVL1_DEFAULT);
  std::string packed(text.size() + text.size() / 8 + 4096, '\0');
  isal_zstream stream;
  isal_deflate_init(&stream);  // of the one-call form; sets the rest of the fields
  stream.level = 1;
  stream.level_buf = work.data();
  stream.level_buf_size = static_cast<uint32_t>(work.size());
  stream.gzip_flag = IGZIP_GZIP;
  stream.end_of_stream = 1;
  stream.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uint32_t>(text.size());
  stream.next_out = reinterpret_cast<uint8_t*>(packed.data());
  stream.avail_out = static_cast<uint32_t>(packed.size());
  const int error = isal_deflate(&stream);
  SPARROW_CHECK(error == COMP_OK && stream.internal_state.state == ZSTATE_END, "isal_deflate of {} bytes returned {}",
                text.size(), error);
  packed.resize(stream.total_out);
  return packed;
}

ShardBlock format_block(const SampleModel& model, int64_t first, int64_t count, ShardFormat format) {
  ShardBlock block;
  CriteoSample sample;
  if (format != ShardFormat::npy) block.text.reserve(static_cast<size_t>(count) * 280);
  for (int64_t k = first; k < first + count; ++k) {
    model.sample(k, sample);
    if (format != ShardFormat::npy) {
      append_line(sample, block.text);
      continue;
    }
    for (const int64_t x : sample.integers) block.dense.push_back(criteo_dense_value(x));  // a missing one is 0
    for (int c = 0; c < kCriteoTables; ++c)
      block.sparse.push_back(static_cast<int32_t>(criteo_value(c, sample.ranks[c])));
    block.labels.push_back(sample.label);
  }
  if (format == ShardFormat::tsv_gzip) block.text = gzip_member(block.text);
  return block;
}

std::vector<std::string> shard_paths(const std::string& stem, ShardFormat format) {
  if (format == ShardFormat::npy) return {stem + "_dense.npy", stem + "_sparse.npy", stem + "_labels.npy"};
  return {stem + (format == ShardFormat::tsv ? ".tsv" : ".tsv.gz")};
}

ShardWriter::ShardWriter(const std::string& stem, ShardFormat format, int64_t samples) {
  const std::vector<std::string> paths = shard_paths(stem, format);
  if (format == ShardFormat::npy) {
    arrays_.reserve(3);
    arrays_.emplace_back(paths[0], NpyType::float32, std::vector<int64_t>{samples, kCriteoDense});
    arrays_.emplace_back(paths[1], NpyType::int32, std::vector<int64_t>{samples, kCriteoTables});
    arrays_.emplace_back(paths[2], NpyType::int32, std::vector<int64_t>{samples, 1});
    return;
  }
  text_.emplace(paths[0]);
}

void ShardWriter::append(const ShardBlock& block) {
  if (text_) {
    text_->write(block.text.data(), block.text.size());
    return;
  }
  arrays_[0].append(std::span<const float>(block.dense));
  arrays_[1].append(std::span<const int32_t>(block.sparse));
  arrays_[2].append(std::span<const int32_t>(block.labels));
}

void ShardWriter::finish() {
  for (NpyWriter& array : arrays_) array.finish();
  if (text_) text_->finish();
}

}  // namespace sparrow
