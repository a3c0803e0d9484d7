#include "exchange/offloaded_route.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace sparrow {

void OffloadedRoute::start(OffloadedRows* store, int64_t device_slots, std::span<const std::span<int64_t>> lists) {
  slots_.clear();
  for (const std::span<int64_t> list : lists)
    for (const int64_t slot : list) slots_.push_back(slot - device_slots);
  SPARROW_CHECK(store != nullptr || slots_.empty());
  if (store == nullptr) return;
  if (!batch_) batch_ = store->make_batch();
  std::sort(slots_.begin(), slots_.end());
  slots_.erase(std::unique(slots_.begin(), slots_.end()), slots_.end());
  batch_->start(slots_);
  for (const std::span<int64_t> list : lists)
    for (int64_t& slot : list)
      slot = batch_->slot_of(std::lower_bound(slots_.begin(), slots_.end(), slot - device_slots) - slots_.begin());
}

void OffloadedRoute::load() {
  if (batch_) batch_->load();
}

void OffloadedRoute::load_clean(const OffloadedRoute& before) {
  if (!batch_) return;
  clean_.clear();
  dirty_.clear();
  auto other = before.slots_.begin();
  for (size_t i = 0; i < slots_.size(); ++i) {
    while (other != before.slots_.end() && *other < slots_[i]) ++other;
    const bool dirty = other != before.slots_.end() && *other == slots_[i];
    (dirty ? dirty_ : clean_).push_back(static_cast<int32_t>(i));
  }
  batch_->load(clean_);
}

void OffloadedRoute::load_dirty() {
  if (batch_) batch_->load(dirty_);
}

void OffloadedRoute::pass_on() {
  if (batch_) batch_->pass_on();
}

void OffloadedRoute::finish(bool updated) {
  if (batch_) batch_->finish(updated);
}

}  // namespace sparrow
