#include "store/offloaded_rows.hpp"

#include "store/file_rows.hpp"
#include "store/pinned_rows.hpp"

namespace sparrow {

std::unique_ptr<OffloadedRows> make_offloaded_rows(Backend& backend, int64_t slots, int64_t dim, int64_t state_dim,
                                                   const OffloadOptions& options) {
  if (backend.device_is_host()) return std::make_unique<FileRows>(backend, options.folder, slots, dim, state_dim);
  return std::make_unique<PinnedRows>(backend, slots, dim, state_dim);
}

}  // namespace sparrow
