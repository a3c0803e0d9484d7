#include "train/pipeline.hpp"

#include <algorithm>

#include "base/error.hpp"

namespace sparrow {

Pipeline::Pipeline(const RankContext& context, EmbeddingExchange& exchange, const StageComms& comms, Ledger& ledger,
                   bool overlapped)
    : backend_(context.backend),
      exchange_(exchange),
      comms_(comms),
      ledger_(ledger),
      overlapped_(overlapped),
      stream_(backend_.make_stream()),
      given_event_(backend_.make_event()),
      summed_event_(backend_.make_event()),
      rows_event_(backend_.make_event()),
      traffic_before_(comms.count()) {
  for (auto& route : routes_) route = std::make_unique<BatchRoute>(backend_, comms.sizes(), context.comm.size());
  for (Ledger* book : {&ledger_, &lane_ledger_, &unbooked_}) book->stages.resize(traffic_before_.size());
  lane_ledger_.profiled = &backend_;
  if (overlapped_) thread_ = std::thread([this] { run(); });
}

Pipeline::~Pipeline() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Pipeline::reserve(const ExchangeBounds& bounds) {
  for (size_t batch = 0; batch < (overlapped_ ? 2 : 1); ++batch) routes_[batch]->reserve(bounds);
  exchange_.reserve(bounds);
  backend_.reserve_scratch(*stream_, backend_.scratch_bytes({}, bounds.most_requests(), bounds.dim));
}

// --- The hand-over between the lanes ---

void Pipeline::run() noexcept {
  try {
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stop_ || progress_ == Progress::posted; });
        if (stop_) return;
      }
      if (!exchange_step()) return;
      reach(Progress::done);
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    error_ = std::current_exception();
    changed_.notify_all();
  }
}

void Pipeline::reach(Progress progress) {
  if (!overlapped_) return;
  const std::lock_guard lock(mutex_);
  progress_ = std::max(progress_, progress);
  changed_.notify_all();
}

/// False when there will be none.
bool Pipeline::wait_for_gradients() {
  const Ledger::Booking booking(*book_, Part::waiting, Lane::exchange);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stop_ || step_.gradients_given; });
  return !stop_;
}

void Pipeline::await(Progress progress) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return error_ || progress_ >= progress; });
  if (error_) std::rethrow_exception(error_);
}

void Pipeline::release() noexcept {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return error_ || progress_ >= Progress::looked_ahead; });
}

bool Pipeline::drained() const {
  const std::lock_guard lock(mutex_);
  return progress_ == Progress::rest && !clean_left_;
}

void Pipeline::wait() {
  await(Progress::done);
  {
    const std::lock_guard lock(mutex_);
    if (progress_ == Progress::rest) return;
    progress_ = Progress::rest;
  }
  if (step_.next) {
    now_ = 1 - now_;
    clean_left_ = true;
    clean_step_ = step_;
  }
  ledger_.take(lane_ledger_);
  count_store();
}

void Pipeline::count_store() {
  const StoreTraffic total = exchange_.store_traffic(), moved = total - store_counted_;
  ledger_.store_read_bytes += moved.read_bytes;
  ledger_.store_written_bytes += moved.written_bytes;
  store_counted_ = total;
}

// --- A step, as the compute lane sees it ---

const BatchRoute& Pipeline::begin(Stream& stream, const Batch& batch, const Batch* next, const OptimizerStep& update) {
  if (dense_timed_) ledger_.path.dense += since_given_.seconds();
  {
    const Ledger::Booking booking(ledger_, Part::waiting);
    wait();
  }
  lane_ledger_.tracing = ledger_.tracing;
  lane_ledger_.clock = ledger_.clock;
  if (announced_) {
    SPARROW_CHECK(announced_->index == batch.index && announced_->positions == batch.positions.data(),
                  "batch {} was announced, batch {} came", announced_->index, batch.index);
  } else {
    store_counted_ = exchange_.store_traffic();  // filling the store, loading and moving rows are no part of a step
    const auto counted = counted_traffic();
    fetch_now(batch, now(), true);
  }
  announced_.reset();
  backend_.wait(stream, *rows_event_);
  if (!overlapped_) next = nullptr;
  if (next) announced_ = {next->positions.data(), next->index};
  step_ = {next, update, {}, false};
  if (overlapped_) {
    const std::lock_guard lock(mutex_);
    progress_ = Progress::posted;
    changed_.notify_all();
  }
  since_begin_.restart();
  return now();
}

void Pipeline::before_backward(Stream& stream) {
  if (!overlapped_) return;
  const Ledger::Booking booking(ledger_, Part::waiting);
  await(Progress::summed);
  backend_.wait(stream, *summed_event_);
}

void Pipeline::give_gradients(Stream& stream, const Matrix& bag_gradients) {
  ledger_.path.to_gradients += since_begin_.seconds();
  backend_.record(*given_event_, stream);
  {
    const std::lock_guard lock(mutex_);
    step_.bag_gradients = bag_gradients;
    step_.gradients_given = true;
  }
  changed_.notify_all();
  since_given_.restart();
  dense_timed_ = overlapped_;
  if (overlapped_) return;
  {
    const auto counted = counted_traffic();
    exchange_dirty(false);
  }
  progress_ = Progress::done;
  wait();
}

const BatchRoute& Pipeline::fetch(Stream& stream, const Batch& batch) {
  drain();
  book_ = &unbooked_;
  fetch_now(batch, idle(), false);
  book_ = &lane_ledger_;
  backend_.wait(stream, *rows_event_);
  return idle();
}

void Pipeline::finish_fetch() {
  exchange_.finish(idle(), false);
  store_counted_ = exchange_.store_traffic();
}

void Pipeline::drain() {
  dense_timed_ = false;  // whatever comes now is no part of a step
  wait();
  if (clean_left_) {
    const auto counted = counted_traffic();
    finish_clean();
  }
  backend_.synchronize(*stream_);  // updates that are queued: other streams read and write the rows next
  ledger_.take(lane_ledger_);
}

void Pipeline::forget() {
  drain();
  if (!announced_) return;
  exchange_.finish(now(), false);
  announced_.reset();
}

// --- What the exchange lane does ---

/// False when it was ended in between.
bool Pipeline::exchange_step() {
  backend_.synchronize(*stream_);  // host memory of the step before may be written again
  const auto counted = counted_traffic();
  const bool has_next = step_.next != nullptr;
  const Timer timer;
  if (clean_left_) finish_clean();
  reach(Progress::summed);
  if (has_next) look_ahead(*step_.next);
  reach(Progress::looked_ahead);
  lane_ledger_.path.ahead += timer.seconds();
  if (!wait_for_gradients()) return false;
  exchange_dirty(has_next);
  return true;
}

/// The rows of a batch that nothing was done for ahead.
void Pipeline::fetch_now(const Batch& batch, BatchRoute& route, bool training) {
  {
    const Ledger::Booking booking(*book_, Part::ids, Lane::exchange);
    exchange_.build(*stream_, batch, route, training);
  }
  {
    const Ledger::Booking booking(*book_, Part::store, Lane::exchange);
    exchange_.load(route);
  }
  const Ledger::Booking booking(*book_, Part::rows, Lane::exchange);
  exchange_.fetch(*stream_, route);
  backend_.record(*rows_event_, *stream_);
  if (!overlapped_) backend_.synchronize(*stream_);  // so that the time is booked where it belongs
}

/// Gradients of the batch before, of rows that this one does not use.
void Pipeline::finish_clean() {
  BatchRoute& route = other();
  {
    const Ledger::Booking booking(*book_, Part::gradients, Lane::exchange);
    exchange_.sum_own(*stream_, route, clean_step_.bag_gradients, RowHalf::clean);
    backend_.record(*summed_event_, *stream_);
    reach(Progress::summed);
    exchange_.return_gradients(*stream_, route, clean_step_.bag_gradients, RowHalf::clean);
  }
  update_rows(clean_step_.update);
  const Ledger::Booking booking(*book_, Part::store, Lane::exchange);
  exchange_.finish(route, true);
  clean_left_ = false;
}

void Pipeline::look_ahead(const Batch& next) {
  BatchRoute& route = other();
  {
    const Ledger::Booking booking(*book_, Part::ids, Lane::exchange);
    exchange_.build(*stream_, next, route, true);
    exchange_.divide(*stream_, now(), route);
    exchange_.address_rows(*stream_, route);
  }
  {
    const Ledger::Booking booking(*book_, Part::store, Lane::exchange);
    exchange_.load_clean(route, now());
  }
  const Ledger::Booking booking(*book_, Part::rows, Lane::exchange);
  exchange_.fetch(*stream_, route, RowHalf::clean);
}

void Pipeline::exchange_dirty(bool has_next) {
  const Timer timer;
  backend_.wait(*stream_, *given_event_);
  {
    const Ledger::Booking booking(*book_, Part::gradients, Lane::exchange);
    exchange_.sum_own(*stream_, now(), step_.bag_gradients, RowHalf::dirty);
    exchange_.return_gradients(*stream_, now(), step_.bag_gradients, RowHalf::dirty);
    if (!overlapped_) backend_.synchronize(*stream_);
  }
  {
    const Ledger::Booking booking(*book_, Part::allreduce, Lane::exchange);
    exchange_.reduce_copies(*stream_, now());
    if (!overlapped_) backend_.synchronize(*stream_);
  }
  update_rows(step_.update);
  {
    const Ledger::Booking booking(*book_, Part::store, Lane::exchange);
    if (has_next) {
      exchange_.pass_on(now());
      exchange_.load_dirty(other());
    } else {
      exchange_.finish(now(), true);
      if (!overlapped_) exchange_.drain_store();  // the sequential step overlaps nothing
    }
  }
  if (has_next) {
    const Ledger::Booking booking(*book_, Part::rows, Lane::exchange);
    exchange_.fetch(*stream_, other(), RowHalf::dirty);
  }
  backend_.record(*rows_event_, *stream_);
  lane_ledger_.path.dirty += timer.seconds();
}

void Pipeline::update_rows(const OptimizerStep& step) {
  const Ledger::Booking booking(*book_, Part::update, Lane::exchange);
  exchange_.update_rows(*stream_, step);
  if (!overlapped_) backend_.synchronize(*stream_);
}

}  // namespace sparrow
