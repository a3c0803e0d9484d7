// Blocks of a file in memory, each at most once: read when first pinned, written back when the last pin of a changed
// block goes, dropped when it is on disk and nobody needs it. A block that is pinned again while it is being written
// need not be read.
//
// Memory is what the pinned blocks and those on their way to the disk need; it grows to the most there ever was. Any
// thread may call; what one call pins is used by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/disk_io.hpp"

namespace sparrow {

class BlockCache {
 public:
  BlockCache(const std::string& folder, int64_t blocks, int64_t block_bytes, DiskMethod method);

  /// Pinned blocks: where each is in memory, and which reads bring them.
  struct Pins {
    std::vector<std::byte*> data;
    std::vector<int32_t> frames;
    std::vector<DiskIo::Ticket> reads;
  };

  /// Pins blocks (ascending, all different) and begins to read those that are not here; with read = false their
  /// contents are undefined. Returns at once.
  void pin(std::span<const int64_t> blocks, bool read, Pins& pins);
  /// Waits until pinned blocks are here.
  void wait(Pins& pins);
  /// Before pinned blocks are changed: waits until none of them is being written.
  void prepare_change(const Pins& pins);
  /// Unpins; changed blocks go to the disk once nobody has them pinned. Waits until of the writes of earlier calls at
  /// most the latest is under way.
  void unpin(Pins& pins, bool changed);
  /// Waits for all writes.
  void drain();

  int64_t block_bytes() const { return block_bytes_; }
  int64_t read_bytes() const;
  int64_t written_bytes() const;
  int64_t memory_bytes() const;
  const char* method() const { return io_->method(); }
  bool direct() const { return file_.direct(); }

 private:
  static constexpr size_t kChunkFrames = 256;
  struct Frame {
    int64_t block = 0;
    int pins = 0;
    bool changed = false;
    DiskIo::Ticket read, write;  ///< the latest of each; null when known to be over
  };
  struct Write {
    DiskIo::Ticket ticket;
    std::vector<int32_t> frames;
  };
  Frame& frame(int32_t number) { return frames_[number]; }
  std::byte* data(int32_t number) const;
  int32_t free_frame();
  void drop(int32_t frame);
  /// Frees the blocks of writes that are over; waits until at most `most` writes are under way.
  void reap(size_t most);

  ScratchFile file_;
  int64_t block_bytes_;
  mutable std::mutex mutex_;  ///< of all below
  std::vector<AlignedBytes> chunks_;
  std::vector<Frame> frames_;
  std::vector<int32_t> free_;
  std::unordered_map<int64_t, int32_t> frame_of_;
  std::deque<Write> writes_;  ///< under way, in order
  int64_t read_bytes_ = 0, written_bytes_ = 0;
  std::unique_ptr<DiskIo> io_;  ///< last: its threads end before the memory goes
};

}  // namespace sparrow
