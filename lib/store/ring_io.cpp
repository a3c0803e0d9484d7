#include "store/ring_io.hpp"

#include <liburing.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace sparrow {

namespace {

constexpr unsigned kDepth = 256;  ///< requests under way at once

/// Owns a ring that was set up.
class Ring {
 public:
  explicit Ring(std::string& reason) {
    const int error = io_uring_queue_init(kDepth, &ring_, 0);
    open_ = error == 0;
    if (!open_) reason = std::strerror(-error);
  }
  ~Ring() {
    if (open_) io_uring_queue_exit(&ring_);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  bool open() const { return open_; }
  io_uring* get() { return &ring_; }

 private:
  io_uring ring_{};
  bool open_ = false;
};

}  // namespace

/// One thread feeds the ring and takes what is done.
class RingIo : public DiskIo {
 public:
  RingIo(const ScratchFile& file, std::unique_ptr<Ring> ring) : DiskIo(file), ring_(std::move(ring)), works_(kDepth) {
    for (unsigned i = 0; i < kDepth; ++i) free_.push_back(i);
    thread_ = std::thread([this] { run(); });
  }
  ~RingIo() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
      work_.notify_all();
    }
    thread_.join();
  }
  const char* method() const override { return "io_uring"; }

 private:
  void run() {
    while (true) {
      fill();
      if (free_.size() == kDepth) return;  // nothing under way: fill() saw stop_
      const int error = io_uring_submit_and_wait(ring_->get(), 1);
      // An interrupted wait is tried again; kernel memory that is short is there again once something is done.
      if (error < 0 && error != -EINTR && error != -EAGAIN && error != -EBUSY) give_up(error);
      reap();
    }
  }

  /// Prepares requests until the ring is full; waits for work when nothing is under way.
  void fill() {
    std::unique_lock lock(mutex_);
    if (free_.size() == kDepth) work_.wait(lock, [&] { return stop_ || !reads_.empty() || !writes_.empty(); });
    Work work;
    while (!stop_ && !free_.empty() && take(work)) {
      const unsigned slot = free_.back();
      free_.pop_back();
      const Transfer& transfer = *work.transfer;
      const Transfer::Run& run = transfer.runs[work.run];
      io_uring_sqe* entry = io_uring_get_sqe(ring_->get());
      SPARROW_CHECK(entry != nullptr);  // as many entries as slots
      const iovec* memory = transfer.memory.data() + run.first_piece;
      const auto count = static_cast<unsigned>(run.pieces);
      const auto offset = static_cast<uint64_t>(run.offset);
      if (transfer.operation == Operation::read)
        io_uring_prep_readv(entry, file_.descriptor(), memory, count, offset);
      else
        io_uring_prep_writev(entry, file_.descriptor(), memory, count, offset);
      entry->user_data = slot;
      works_[slot] = std::move(work);
    }
  }

  void reap() {
    io_uring_cqe* entry = nullptr;
    while (io_uring_peek_cqe(ring_->get(), &entry) == 0) {
      const auto slot = static_cast<unsigned>(entry->user_data);
      const int moved = entry->res;
      io_uring_cqe_seen(ring_->get(), entry);
      complete(slot, moved);
    }
  }

  void complete(unsigned slot, int moved) {
    const Work work = std::exchange(works_[slot], {});
    free_.push_back(slot);
    const auto total = static_cast<int64_t>(work.transfer->runs[work.run].pieces) * work.transfer->piece_bytes;
    // What is left of a short transfer is moved here; a failed one is tried once more, which also finds the reason.
    finish(work, moved == total ? "" : move_rest(work, std::max(0, moved)));
  }

  /// The ring itself failed: so has everything under way.
  void give_up(int error) {
    for (unsigned slot = 0; slot < kDepth; ++slot) {
      if (works_[slot].transfer == nullptr) continue;
      finish(std::exchange(works_[slot], {}), fmt::format("{}: io_uring: {}", file_.name(), std::strerror(-error)));
      free_.push_back(slot);
    }
  }

  std::unique_ptr<Ring> ring_;
  std::vector<Work> works_;  ///< under way, by slot
  std::vector<unsigned> free_;
  std::thread thread_;
};

std::unique_ptr<DiskIo> make_ring_io(const ScratchFile& file, std::string& reason) {
  auto ring = std::make_unique<Ring>(reason);
  if (!ring->open()) return nullptr;
  return std::make_unique<RingIo>(file, std::move(ring));
}

}  // namespace sparrow
