#include "assign/new_holders.hpp"

#include <algorithm>
#include <tuple>

#include "base/error.hpp"

namespace sparrow {
namespace {

using NewHolder = HolderMap::NewHolder;

/// 7 bits a byte, low ones first; the top bit says that more follow.
void write_number(uint64_t value, std::vector<std::byte>& bytes) {
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<std::byte>(value | 0x80));
  bytes.push_back(static_cast<std::byte>(value));
}

class Numbers {
 public:
  explicit Numbers(std::span<const std::byte> bytes) : bytes_(bytes) {}
  bool end() const { return at_ == bytes_.size(); }
  uint64_t next() {
    uint64_t value = 0;
    for (int shift = 0; shift < 63; shift += 7) {
      if (end()) fail("new holders: the list is cut short");
      const auto byte = static_cast<uint64_t>(bytes_[at_++]);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail("new holders: a number of more than 63 bits");
  }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
};

}  // namespace

void sort_by_rank(std::vector<NewHolder>& rows) {
  std::sort(rows.begin(), rows.end(),
            [](const NewHolder& a, const NewHolder& b) { return std::tie(a.rank, a.key) < std::tie(b.rank, b.key); });
}

void encode_new_holders(std::span<const NewHolder> rows, std::vector<std::byte>& bytes) {
  bytes.clear();
  for (size_t first = 0; first < rows.size();) {
    const int rank = rows[first].rank;
    const auto of_rank = [rank](const NewHolder& row) { return row.rank == rank; };
    const auto last = static_cast<size_t>(
        std::partition_point(rows.begin() + static_cast<std::ptrdiff_t>(first), rows.end(), of_rank) - rows.begin());
    write_number(static_cast<uint64_t>(rank), bytes);
    write_number(last - first, bytes);
    for (int64_t before = 0; first < last; before = rows[first++].key)
      write_number(static_cast<uint64_t>(rows[first].key - before), bytes);
  }
}

void decode_new_holders(std::span<const std::byte> bytes, int64_t keys, int ranks, std::vector<NewHolder>& rows) {
  rows.clear();
  Numbers numbers(bytes);
  while (!numbers.end()) {
    const uint64_t rank = numbers.next(), count = numbers.next();
    if (rank >= static_cast<uint64_t>(ranks)) fail("new holders: rank {} of {}", rank, ranks);
    uint64_t key = 0;
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t step = numbers.next();
      if (step >= static_cast<uint64_t>(keys) - key || (i > 0 && step == 0))
        fail("new holders: key {} + {} of {}", key, step, keys);
      key += step;
      rows.push_back({static_cast<int64_t>(key), static_cast<int>(rank)});
    }
  }
}

}  // namespace sparrow
