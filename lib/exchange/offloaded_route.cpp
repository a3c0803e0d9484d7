#include "exchange/offloaded_route.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace sparrow {

void OffloadedRoute::start(OffloadedRows* store, int64_t device_slots) {
  SPARROW_CHECK(store != nullptr || slots_.empty());
  if (store == nullptr) return;
  if (!batch_) batch_ = store->make_batch();
  device_slots_ = device_slots;
  std::sort(slots_.begin(), slots_.end());
  slots_.erase(std::unique(slots_.begin(), slots_.end()), slots_.end());
  for (int64_t& slot : slots_) slot -= device_slots;
  batch_->start(slots_);
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

void OffloadedRoute::to_batch_slots(std::span<int64_t> directory_slots) const {
  for (int64_t& slot : directory_slots) {
    const auto found = std::lower_bound(slots_.begin(), slots_.end(), slot - device_slots_);
    slot = batch_->place_of(found - slots_.begin());
  }
}

void OffloadedRoute::finish(bool updated) {
  if (batch_) batch_->finish(updated);
}

}  // namespace sparrow
