// Many small reads and writes of one file at once, in the background: io_uring where the kernel permits it (containers
// often do not), else a pool of threads that call pread and pwrite. Requests of neighbouring places become one.
#pragma once

#include <sys/uio.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/host_memory.hpp"

namespace sparrow {

/// An open file without a name: made, sized and unlinked at once, so nothing of it stays behind, whatever happens.
class ScratchFile {
 public:
  /// Reserves exactly `bytes` of disk in `folder` (made if missing). Throws Error naming the folder, what is needed and
  /// what is free. Bypasses the page cache (O_DIRECT) where the file system can, so that memory is what it is said to
  /// be: data, offsets and sizes must be multiples of kAlignment.
  ScratchFile(const std::string& folder, int64_t bytes);
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  static constexpr int64_t kAlignment = kPageBytes;
  int descriptor() const { return descriptor_; }
  bool direct() const { return direct_; }
  const std::string& name() const { return name_; }  ///< for messages

 private:
  std::string name_;
  int descriptor_ = -1;
  bool direct_ = false;
};

class DiskIo {
 public:
  enum class Operation : uint8_t { read, write };
  struct Piece {
    int64_t offset;
    std::byte* data;
  };

  /// What one call of start() moves; shared by the caller and the threads at work.
  class Transfer {
   private:
    friend class DiskIo;
    friend class ThreadIo;
    friend class RingIo;
    struct Run {  ///< neighbouring pieces: one request
      int64_t offset;
      size_t first_piece, pieces;
    };
    Operation operation{};
    int64_t piece_bytes = 0;
    std::vector<iovec> memory;
    std::vector<Run> runs;
    size_t next = 0, left = 0;  ///< runs not yet begun, not yet done
    std::string error;          ///< the first
  };
  using Ticket = std::shared_ptr<Transfer>;

  virtual ~DiskIo() = default;

  /// Begins to move pieces of `piece_bytes` each between the file and memory that must stay alive, and unchanged, until
  /// it is over. Returns at once. Reads go before writes that were started earlier: whoever reads what is being written
  /// must wait for that first.
  Ticket start(Operation operation, const std::vector<Piece>& pieces, int64_t piece_bytes);
  /// Throws Error "FILE: read of N bytes at offset O: reason" when anything of it failed.
  void wait(const Ticket& ticket);
  bool done(const Ticket& ticket);
  virtual const char* method() const = 0;

 protected:
  explicit DiskIo(const ScratchFile& file) : file_(file) {}
  struct Work {
    Ticket transfer;
    size_t run = 0;
  };
  bool take(Work& work);  ///< with mutex_ held: the next run to begin
  void finish(const Work& work, const std::string& error);
  /// Moves what is left of a run after `done` bytes of it, waiting. Returns an error or "".
  std::string move_rest(const Work& work, int64_t done) const;

  const ScratchFile& file_;
  std::mutex mutex_;
  std::condition_variable work_, over_;
  std::deque<Ticket> reads_, writes_;
  bool stop_ = false;
};

enum class DiskMethod : uint8_t { automatic, ring, threads };

/// automatic: io_uring where it is permitted. ring: Error where it is not.
std::unique_ptr<DiskIo> make_disk_io(const ScratchFile& file, DiskMethod method = DiskMethod::automatic);

}  // namespace sparrow
