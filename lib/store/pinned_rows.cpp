#include "store/pinned_rows.hpp"

#include <algorithm>
#include <vector>

#include "base/error.hpp"

namespace sparrow {

PinnedRows::PinnedRows(Backend& backend, int64_t slots, int64_t dim, int64_t state_dim)
    : values_(backend, Memory::pinned, slots * dim),
      state_(backend, Memory::pinned, slots * state_dim),
      rows_{values_.data(), state_.data(), slots, dim, state_dim} {}

void PinnedRows::write(int64_t first, int64_t n, const float* values, const float* state) {
  SPARROW_CHECK(first >= 0 && n >= 0 && first + n <= rows_.slots, "rows {} to {} of {}", first, first + n, rows_.slots);
  std::copy_n(values, n * rows_.dim, rows_.values + first * rows_.dim);
  if (state) std::copy_n(state, n * rows_.state_dim, rows_.state + first * rows_.state_dim);
}

/// Counts what the kernels of a batch move; the rows are where they are.
class PinnedBatch : public OffloadedBatch {
 public:
  explicit PinnedBatch(PinnedRows& store) : store_(store) {}
  void start(std::span<const int64_t> slots) override {
    SPARROW_CHECK(!under_way_, "the batch before is not finished");
    for (size_t i = 0; i < slots.size(); ++i)
      SPARROW_CHECK(slots[i] >= (i == 0 ? 0 : slots[i - 1] + 1) && slots[i] < store_.slots(),
                    "offloaded row {} of {}: not ascending, or twice", slots[i], store_.slots());
    slots_.assign(slots.begin(), slots.end());
    under_way_ = true;
    // A forward pass reads the values, an update reads and writes values and state.
    store_.traffic_.read_bytes += 4 * store_.rows_.dim * static_cast<int64_t>(slots.size());
  }
  void load(std::span<const int32_t>) override {}
  void load() override {}
  void pass_on() override {}  // rows are updated where they are
  void finish(bool updated) override {
    under_way_ = false;
    if (!updated) return;
    const int64_t bytes = 4 * (store_.rows_.dim + store_.rows_.state_dim) * static_cast<int64_t>(slots_.size());
    store_.traffic_.read_bytes += bytes;
    store_.traffic_.written_bytes += bytes;
  }
  RowStore rows() const override { return store_.rows_; }
  int64_t slot_of(int64_t i) const override { return slots_[i]; }

 private:
  PinnedRows& store_;
  std::vector<int64_t> slots_;
  bool under_way_ = false;
};

std::unique_ptr<OffloadedBatch> PinnedRows::make_batch() {
  return std::make_unique<PinnedBatch>(*this);
}

}  // namespace sparrow
