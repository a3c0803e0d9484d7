// One shard's files: samples turned into bytes on any thread, written in order by one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/part_file.hpp"
#include "data/npy.hpp"
#include "synthetic/generator_model.hpp"

namespace sparrow {

enum class ShardFormat { tsv, tsv_gzip, npy };

/// Successive samples as they stand in the shard.
struct ShardBlock {
  std::string text;  ///< tsv; compressed, one gzip member, for tsv_gzip
  std::vector<float> dense;
  std::vector<int32_t> sparse, labels;
};

/// Draws samples first .. first + count - 1 and formats them.
ShardBlock format_block(const SampleModel& model, int64_t first, int64_t count, ShardFormat format);

/// One gzip member with the content `text`.
std::string gzip_member(std::string_view text);

/// The line of a sample in Criteo's text format, with its line feed, appended to `text`.
void append_line(const CriteoSample& sample, std::string& text);

/// The paths of a shard's files, for `stem` = "DIR/day_0".
std::vector<std::string> shard_paths(const std::string& stem, ShardFormat format);

/// Writes a shard of `samples` samples. Files have their names after finish(); without it the destructor removes what
/// was written.
class ShardWriter {
 public:
  ShardWriter(const std::string& stem, ShardFormat format, int64_t samples);
  void append(const ShardBlock& block);
  void finish();

 private:
  std::optional<PartFile> text_;
  std::vector<NpyWriter> arrays_;  ///< dense, sparse, labels
};

}  // namespace sparrow
