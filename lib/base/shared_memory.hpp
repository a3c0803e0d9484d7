// Memory that costs nothing until it is written: zeros at first, page by page as it is used; of this process alone, or
// shared by the processes of a node.
//
// Shared memory is a file without a name (memfd): it is not limited by what a container leaves to /dev/shm, needs no
// name that a killed run would leave behind, and is gone with the last process that has it. Others of the node find it
// through the process that made it: by a path like /proc/1234/fd/5, which opens while that one keeps it open.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace sparrow {

/// Of this process. Throws Error for more than the machine has.
std::shared_ptr<std::byte> zeroed_memory(size_t bytes);

/// One block of memory for several processes.
class SharedMemory {
 public:
  /// Makes it. Throws Error where there is less memory left than `bytes`: pages that cannot be had later on would end
  /// the process.
  static SharedMemory create(size_t bytes);
  /// The one that another process of this node made, while that one's SharedMemory lives. Throws Error naming the path,
  /// also where it has fewer bytes.
  static SharedMemory open(const std::string& path, size_t bytes);

  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) = delete;
  ~SharedMemory();

  /// Where others of the node open it.
  std::string path() const;
  /// The memory, which stays as long as anybody has this pointer.
  std::shared_ptr<std::byte> data() const { return data_; }

 private:
  SharedMemory(int file, std::shared_ptr<std::byte> data) : file_(file), data_(std::move(data)) {}
  int file_;
  std::shared_ptr<std::byte> data_;
};

}  // namespace sparrow
