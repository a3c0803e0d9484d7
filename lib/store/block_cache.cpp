#include "store/block_cache.hpp"

#include <utility>

namespace sparrow {

BlockCache::BlockCache(const std::string& folder, int64_t blocks, int64_t block_bytes, DiskMethod method)
    : file_(folder, blocks * block_bytes), block_bytes_(block_bytes), io_(make_disk_io(file_, method)) {}

std::byte* BlockCache::data(int32_t number) const {
  const auto place = static_cast<size_t>(number);
  return chunks_[place / kChunkFrames].get() + static_cast<int64_t>(place % kChunkFrames) * block_bytes_;
}

int64_t BlockCache::read_bytes() const {
  const std::lock_guard lock(mutex_);
  return read_bytes_;
}
int64_t BlockCache::written_bytes() const {
  const std::lock_guard lock(mutex_);
  return written_bytes_;
}
int64_t BlockCache::memory_bytes() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(frames_.size()) * block_bytes_;
}

int32_t BlockCache::free_frame() {
  if (free_.empty()) {
    chunks_.push_back(allocate_aligned(static_cast<int64_t>(kChunkFrames) * block_bytes_, ScratchFile::kAlignment));
    const size_t first = frames_.size();
    frames_.resize(first + kChunkFrames);
    for (size_t i = kChunkFrames; i-- > 0;) free_.push_back(static_cast<int32_t>(first + i));
  }
  const int32_t number = free_.back();
  free_.pop_back();
  return number;
}

void BlockCache::drop(int32_t number) {
  frame_of_.erase(frame(number).block);
  frame(number) = {};
  free_.push_back(number);
}

void BlockCache::pin(std::span<const int64_t> blocks, bool read, Pins& pins) {
  const std::lock_guard lock(mutex_);
  pins.data.clear();
  pins.frames.clear();
  pins.reads.clear();
  std::vector<DiskIo::Piece> pieces;
  std::vector<int32_t> missing;
  for (const int64_t block : blocks) {
    const auto found = frame_of_.find(block);
    const int32_t number = found == frame_of_.end() ? free_frame() : found->second;
    Frame& pinned = frame(number);
    if (found == frame_of_.end()) {
      pinned.block = block;
      frame_of_.emplace(block, number);
      pieces.push_back({block * block_bytes_, data(number)});
      missing.push_back(number);
    } else if (pinned.read && (pins.reads.empty() || pins.reads.back() != pinned.read)) {
      pins.reads.push_back(pinned.read);  // for a batch before this one
    }
    ++pinned.pins;
    pins.frames.push_back(number);
    pins.data.push_back(data(number));
  }
  if (!read || pieces.empty()) return;
  const DiskIo::Ticket ticket = io_->start(DiskIo::Operation::read, pieces, block_bytes_);
  for (const int32_t number : missing) frame(number).read = ticket;
  pins.reads.push_back(ticket);
  read_bytes_ += static_cast<int64_t>(pieces.size()) * block_bytes_;
}

void BlockCache::wait(Pins& pins) {
  if (pins.reads.empty()) return;
  for (const DiskIo::Ticket& ticket : pins.reads) io_->wait(ticket);
  pins.reads.clear();
  const std::lock_guard lock(mutex_);
  for (const int32_t number : pins.frames) frame(number).read = nullptr;
}

void BlockCache::prepare_change(const Pins& pins) {
  std::vector<DiskIo::Ticket> writes;
  {
    const std::lock_guard lock(mutex_);
    for (const int32_t number : pins.frames)
      if (frame(number).write && (writes.empty() || writes.back() != frame(number).write))
        writes.push_back(frame(number).write);
  }
  for (const DiskIo::Ticket& ticket : writes) io_->wait(ticket);
}

void BlockCache::unpin(Pins& pins, bool changed) {
  wait(pins);  // nothing may be read into memory that is free
  const std::lock_guard lock(mutex_);
  reap(1);
  std::vector<DiskIo::Piece> pieces;
  Write write;
  for (const int32_t number : pins.frames) {
    Frame& unpinned = frame(number);
    unpinned.changed = unpinned.changed || changed;
    if (--unpinned.pins > 0) continue;
    if (unpinned.changed) {
      unpinned.changed = false;
      pieces.push_back({unpinned.block * block_bytes_, data(number)});
      write.frames.push_back(number);
    } else if (unpinned.write == nullptr) {
      drop(number);
    }  // else it is dropped when it is written
  }
  pins.frames.clear();
  pins.data.clear();
  if (pieces.empty()) return;
  write.ticket = io_->start(DiskIo::Operation::write, pieces, block_bytes_);
  for (const int32_t number : write.frames) frame(number).write = write.ticket;
  written_bytes_ += static_cast<int64_t>(pieces.size()) * block_bytes_;
  writes_.push_back(std::move(write));
}

void BlockCache::reap(size_t most) {
  while (!writes_.empty() && (writes_.size() > most || io_->done(writes_.front().ticket))) {
    io_->wait(writes_.front().ticket);
    const Write write = std::move(writes_.front());
    writes_.pop_front();
    for (const int32_t number : write.frames) {
      if (frame(number).write != write.ticket) continue;  // written again since
      frame(number).write = nullptr;
      if (frame(number).pins == 0) drop(number);
    }
  }
}

void BlockCache::drain() {
  const std::lock_guard lock(mutex_);
  reap(0);
}

}  // namespace sparrow
