#include "store/disk_io.hpp"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/error.hpp"
#include "store/ring_io.hpp"

namespace sparrow {

namespace {

/// Reserves disk for the whole file; returns an error number or 0.
int reserve(int descriptor, int64_t bytes) {
  if (bytes == 0) return 0;
  rlimit limit{};  // looked at first: the system would end the process with a signal
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && static_cast<uint64_t>(bytes) > limit.rlim_cur) return EFBIG;
  return posix_fallocate(descriptor, 0, bytes);
}

}  // namespace

ScratchFile::ScratchFile(const std::string& folder, int64_t bytes) {
  SPARROW_CHECK(bytes >= 0 && bytes % kAlignment == 0, "a file of {} bytes", bytes);
  std::error_code problem;
  std::filesystem::create_directories(folder, problem);
  if (problem) fail("{}: cannot make the folder for offloaded rows: {}", folder, problem.message());
  std::string path = folder + "/fetched_rows_XXXXXX";
  descriptor_ = mkostemp(path.data(), O_CLOEXEC);
  if (descriptor_ < 0) fail_errno(path);
  name_ = path;
  unlink(path.c_str());
  if (const int error = reserve(descriptor_, bytes); error != 0) {
    struct statvfs system {};
    const bool known = fstatvfs(descriptor_, &system) == 0;
    close(descriptor_);
    descriptor_ = -1;
    fail("{}: no space for offloaded rows: {} bytes needed{}: {}", folder, bytes,
         known ? fmt::format(", {} are free", static_cast<int64_t>(system.f_bavail * system.f_frsize)) : "",
         std::strerror(error));
  }
  const int flags = fcntl(descriptor_, F_GETFL);
  direct_ = flags >= 0 && fcntl(descriptor_, F_SETFL, flags | O_DIRECT) == 0;
}

ScratchFile::~ScratchFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

DiskIo::Ticket DiskIo::start(Operation operation, const std::vector<Piece>& pieces, int64_t piece_bytes) {
  constexpr size_t kMostPieces = 256;  // of one request
  auto transfer = std::make_shared<Transfer>();
  transfer->operation = operation;
  transfer->piece_bytes = piece_bytes;
  transfer->memory.reserve(pieces.size());
  for (const Piece& piece : pieces) {
    auto& runs = transfer->runs;
    const bool joins = !runs.empty() && runs.back().pieces < kMostPieces &&
                       runs.back().offset + static_cast<int64_t>(runs.back().pieces) * piece_bytes == piece.offset;
    if (joins)
      ++runs.back().pieces;
    else
      runs.push_back({piece.offset, transfer->memory.size(), 1});
    transfer->memory.push_back({piece.data, static_cast<size_t>(piece_bytes)});
  }
  transfer->left = transfer->runs.size();
  if (transfer->left == 0) return transfer;
  const std::lock_guard lock(mutex_);
  (operation == Operation::read ? reads_ : writes_).push_back(transfer);
  work_.notify_all();
  return transfer;
}

void DiskIo::wait(const Ticket& ticket) {
  std::unique_lock lock(mutex_);
  over_.wait(lock, [&] { return ticket->left == 0; });
  if (!ticket->error.empty()) throw Error(ticket->error);
}

bool DiskIo::done(const Ticket& ticket) {
  const std::lock_guard lock(mutex_);
  return ticket->left == 0;
}

bool DiskIo::take(Work& work) {
  for (std::deque<Ticket>* queue : {&reads_, &writes_}) {
    if (queue->empty()) continue;
    work = {queue->front(), queue->front()->next++};
    if (work.transfer->next == work.transfer->runs.size()) queue->pop_front();
    return true;
  }
  return false;
}

void DiskIo::finish(const Work& work, const std::string& error) {
  const std::lock_guard lock(mutex_);
  if (work.transfer->error.empty()) work.transfer->error = error;
  if (--work.transfer->left == 0) over_.notify_all();
}

std::string DiskIo::move_rest(const Work& work, int64_t done) const {
  const Transfer& transfer = *work.transfer;
  const Transfer::Run& run = transfer.runs[work.run];
  const bool reading = transfer.operation == Operation::read;
  const auto total = static_cast<int64_t>(run.pieces) * transfer.piece_bytes;
  while (done < total) {
    const int64_t piece = done / transfer.piece_bytes, within = done % transfer.piece_bytes;
    iovec memory = transfer.memory[run.first_piece + static_cast<size_t>(piece)];
    memory.iov_base = static_cast<std::byte*>(memory.iov_base) + within;
    memory.iov_len -= static_cast<size_t>(within);
    const off_t offset = run.offset + done;
    const ssize_t moved = reading ? preadv(file_.descriptor(), &memory, 1, offset)  //
                                  : pwritev(file_.descriptor(), &memory, 1, offset);
    if (moved < 0 && errno == EINTR) continue;
    if (moved > 0) {
      done += moved;
      continue;
    }
    return fmt::format("{}: {} of {} bytes of offloaded rows at offset {}: {}", file_.name(),
                       reading ? "read" : "write", memory.iov_len, offset,
                       moved < 0 ? std::strerror(errno) : "the file ends there: it was cut while in use");
  }
  return "";
}

/// Every thread has one request under way.
class ThreadIo : public DiskIo {
 public:
  ThreadIo(const ScratchFile& file, int threads) : DiskIo(file) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
  }
  ~ThreadIo() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
      work_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
  }
  const char* method() const override { return "threads"; }

 private:
  void run() {
    Work work;
    while (true) {
      {
        std::unique_lock lock(mutex_);
        work_.wait(lock, [&] { return stop_ || take(work); });
        if (work.transfer == nullptr) return;
      }
      finish(work, move_run(work));
      work = {};
    }
  }
  std::string move_run(const Work& work) const {
    const Transfer::Run& run = work.transfer->runs[work.run];
    const iovec* memory = work.transfer->memory.data() + run.first_piece;
    const int count = static_cast<int>(run.pieces);
    const ssize_t moved = work.transfer->operation == Operation::read
                              ? preadv(file_.descriptor(), memory, count, run.offset)
                              : pwritev(file_.descriptor(), memory, count, run.offset);
    return move_rest(work, std::max<ssize_t>(0, moved));
  }
  std::vector<std::thread> threads_;
};

std::unique_ptr<DiskIo> make_disk_io(const ScratchFile& file, DiskMethod method) {
  constexpr int kThreads = 16;  // requests under way at once: disks need many
  if (method != DiskMethod::threads) {
    std::string reason;
    if (auto ring = make_ring_io(file, reason)) return ring;
    if (method == DiskMethod::ring) fail("io_uring unavailable: {}", reason);
    spdlog::info("offloaded rows: io_uring unavailable ({}); {} threads read and write instead", reason, kThreads);
  }
  return std::make_unique<ThreadIo>(file, kThreads);
}

}  // namespace sparrow
