#include "run/node_memory.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/shared_memory.hpp"
#include "comm/collectives.hpp"

namespace sparrow {

namespace {

/// Collective: what went wrong on the first rank on which something did; empty if nothing.
std::string first_error(Comm& comm, const std::function<void()>& action) {
  std::string error;
  try {
    action();
  } catch (const Error& e) {
    error = fmt::format("rank {}: {}", comm.rank(), e.what());
  }
  const std::vector<std::string> errors = all_gather(comm, error);
  const auto found = std::find_if(errors.begin(), errors.end(), [](const std::string& e) { return !e.empty(); });
  return found == errors.end() ? "" : *found;
}

}  // namespace

NodeMemory node_memory(Comm& comm, int node, size_t bytes) {
  const std::unique_ptr<Comm> local = comm.split(node, comm.rank());
  const bool leader = local->rank() == 0;
  std::optional<SharedMemory> shared;
  NodeMemory memory;
  const std::string no_memory = first_error(comm, [&] {
    if (local->size() == 1)
      memory.data = zeroed_memory(bytes);
    else if (leader)
      shared.emplace(SharedMemory::create(bytes));
  });
  if (!no_memory.empty()) fail("{}", no_memory);
  const std::string path = broadcast_string(*local, shared ? shared->path() : "", 0);
  const std::string not_open = first_error(comm, [&] {
    if (local->size() == 1) return;
    if (!leader) shared.emplace(SharedMemory::open(path, bytes));
    memory = {shared->data(), leader};
  });
  if (not_open.empty()) return memory;  // all have it: the file may be closed
  if (comm.rank() == 0)
    spdlog::warn("every rank keeps {} bytes of its own that the ranks of a node could share: {}", bytes, not_open);
  return {zeroed_memory(bytes), true};
}

}  // namespace sparrow
