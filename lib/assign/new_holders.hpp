// The rows that get holders with a batch, as bytes: what the assigner of the batch tells all ranks. By rank, their keys
// ascending, each as its distance to the one before: 1 to 5 bytes a row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "layout/holder_map.hpp"

namespace sparrow {

/// Sorts `rows` by rank, then by key: the order in which they are applied. Keys differ.
void sort_by_rank(std::vector<HolderMap::NewHolder>& rows);

/// Bytes of sorted rows, in place of what `bytes` had.
void encode_new_holders(std::span<const HolderMap::NewHolder> rows, std::vector<std::byte>& bytes);

/// Back, in the same order, in place of what `rows` had. Throws Error for bytes that do not come from rows with keys
/// below `keys` and ranks below `ranks`.
void decode_new_holders(std::span<const std::byte> bytes, int64_t keys, int ranks,
                        std::vector<HolderMap::NewHolder>& rows);

}  // namespace sparrow
