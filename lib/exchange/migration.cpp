#include "exchange/migration.hpp"

#include <algorithm>

#include "comm/collectives.hpp"

namespace sparrow {

MigrationTotals& MigrationTotals::operator+=(const MigrationTotals& other) {
  positions += other.positions;
  sent_rows += other.sent_rows;
  sent_bytes += other.sent_bytes;
  seconds += other.seconds;
  return *this;
}

namespace {

MappedBy mapped_by(const Directory& directory) {
  return {directory.holder_map() != nullptr, directory.holder_map()};
}

}  // namespace

Migration::Migration(const RankContext& context, Directory& directory, Store& store, ResolvedPlan to,
                     const MigrationState& state)
    : context_(context),
      backend_(context.backend),
      directory_(directory),
      store_(store),
      admission_(directory, store),
      to_(std::move(to)),
      change_(directory.tables(), directory.hierarchy(), directory.plan(), to_, state.slices, mapped_by(directory)),
      state_(state),
      buffers_(context.backend, store.rows()) {
  SPARROW_CHECK(state.copies_per_move > 0 && state.done >= 0 && state.done <= change_.positions(),
                "{} of {} positions moved, {} copies at a time", state.done, change_.positions(),
                state.copies_per_move);
  directory_.follow(finished() ? to_ : change_.plan(state_.done));
}

int Migration::slices_that_fit(Comm& comm, const Directory& directory, const ResolvedPlan& to, std::string& why_not) {
  constexpr int kMostSlices = 1024;
  const SlotRoom room = directory.room();
  std::string lack;
  for (int slices = 1; slices <= kMostSlices; slices *= 4) {
    const PlanChange change(directory.tables(), directory.hierarchy(), directory.plan(), to, slices,
                            mapped_by(directory));
    SlotRoom most = change.most_held(comm.rank());
    const PlanChange::Staying staying = change.staying(comm.rank());
    const int64_t left = room.device - most.device;  // for mapped rows that stay, and come to be used on the way
    most.device += staying.held;
    const bool fits = most.device <= room.device && most.offloaded <= room.offloaded;
    lack = fits ? ""
                : fmt::format("{} rows in device memory and {} in the slower store, there is room for {} and {}",
                              most.device, most.offloaded, room.device, room.offloaded);
    const bool all_fit = sum(comm, int64_t{fits ? 0 : 1}) == 0;
    const int64_t left_by_all = sum(comm, left);
    if (all_fit && left_by_all >= staying.all) return slices;
    if (all_fit) lack = fmt::format("at most {} of {} rows that are held by first use", left_by_all, staying.all);
  }
  const std::vector<std::string> lacks = all_gather(comm, lack);
  const auto first = std::find_if(lacks.begin(), lacks.end(), [](const std::string& text) { return !text.empty(); });
  why_not =
      fmt::format("rows cannot move to the new plan: on the way rank {} would hold {}", first - lacks.begin(), *first);
  return 0;
}

int64_t Migration::room_of_mapped_rows() const {
  const int rank = directory_.rank();
  return directory_.room().device - change_.most_held(rank).device + change_.coming_to_map(rank);
}

void Migration::Rows::count() {
  counts.count.clear();
  for (const auto& rows : by_rank) counts.count.push_back(static_cast<int64_t>(rows.size()));
  counts.offset.resize(counts.count.size());
  counts.sum_up();
}

Migration::Buffers::Buffers(Backend& backend, const RowStore& rows)
    : value_addresses(backend),
      state_addresses(backend),
      values(backend, rows.dim, DType::f32),
      state(backend, rows.state_dim, DType::f32) {}

void Migration::Buffers::reserve(int64_t copies) {
  for (auto* addresses : {&value_addresses, &state_addresses}) addresses->reserve_exactly(copies);
  for (auto* rows : {&values, &state}) rows->reserve({copies * rows->row_bytes(), copies * rows->row_bytes()});
}

void Migration::move(Stream& stream) {
  SPARROW_CHECK(!finished());
  const Timer timer;
  if (!backend_.device_is_host()) buffers_.reserve(state_.copies_per_move);
  const int64_t end = change_.end_of_step(state_.done, state_.copies_per_move);
  list(stream, state_.done, end);
  pack(stream);
  totals_.positions += end - state_.done;
  state_.done = end;
  directory_.follow(finished() ? to_ : change_.plan(end));
  exchange(stream);
  unpack(stream);
  totals_.seconds += timer.seconds();
}

/// What this rank sends, as slots that the rows have now, and what it gets, as keys.
void Migration::list(Stream& stream, int64_t begin, int64_t end) {
  const int me = directory_.rank();
  for (Rows* rows : {&sent_, &received_}) {
    rows->by_rank.resize(context_.comm.size());
    for (auto& list : rows->by_rank) list.clear();
  }
  std::vector<int64_t> never_used;
  change_.visit(begin, end, [&](const PlanChange::RowMove& copy) {
    if (copy.source == me) sent_.by_rank[copy.destination].push_back(copy.key);
    if (copy.source == me && directory_.find_slot(copy.key) < 0) never_used.push_back(copy.key);
    if (copy.destination == me) received_.by_rank[copy.source].push_back(copy.key);
  });
  std::sort(never_used.begin(), never_used.end());
  never_used.erase(std::unique(never_used.begin(), never_used.end()), never_used.end());
  if (!never_used.empty()) admission_.admit(stream, never_used);
  for (auto& keys : sent_.by_rank)
    for (int64_t& key : keys) key = directory_.slot(key);
  sent_.count();
  received_.count();
}

/// Slots of the directory become those of offloaded_.rows().
void Migration::load_offloaded(std::span<int64_t> slots) {
  offloaded_.start(store_.offloaded(), directory_.device_slots(), {&slots, 1});
  offloaded_.load();
}

void Migration::pack(Stream& stream) {
  const RowStore& rows = store_.rows();
  std::vector<int64_t> offloaded;
  for (const auto& slots : sent_.by_rank)
    std::copy_if(slots.begin(), slots.end(), std::back_inserter(offloaded), [&](int64_t s) { return s >= rows.slots; });
  if (!offloaded.empty()) load_offloaded(offloaded);
  const RowStore loaded = offloaded_.rows();
  const float** values = buffers_.value_addresses.reserve(sent_.counts.total);
  const float** state = buffers_.state_addresses.reserve(sent_.counts.total);
  int64_t n = 0;
  auto next_offloaded = offloaded.begin();
  for (const auto& slots : sent_.by_rank)
    for (int64_t slot : slots) {
      const bool in_device = slot < rows.slots;
      const RowStore& from = in_device ? rows : loaded;
      if (!in_device) slot = *next_offloaded++;
      values[n] = from.values + slot * rows.dim;
      state[n++] = from.state + slot * rows.state_dim;
    }
  buffers_.value_addresses.upload(stream, n);
  buffers_.state_addresses.upload(stream, n);
  values_ = buffers_.values.outgoing(n);
  backend_.pack_rows(stream, buffers_.value_addresses.device(), nullptr, n, values_);
  state_values_ = buffers_.state.outgoing(n);
  if (rows.state_dim > 0) backend_.pack_rows(stream, buffers_.state_addresses.device(), nullptr, n, state_values_);
  backend_.synchronize(stream);  // addresses and offloaded rows are free for others
  if (!offloaded.empty()) offloaded_.finish(false);
}

void Migration::exchange(Stream& stream) {
  const RowStore& rows = store_.rows();
  const RowTransfer::Exchange exchange{context_.device_comm, Phase::control, sent_.counts, received_.counts};
  values_ = buffers_.values.exchange(stream, exchange, values_);
  if (rows.state_dim > 0) state_values_ = buffers_.state.exchange(stream, exchange, state_values_);
  const int64_t sent = sent_.counts.total - sent_.counts.count[context_.device_comm.rank()];
  totals_.sent_rows += sent;
  totals_.sent_bytes += sent * 4 * (rows.dim + rows.state_dim);
}

void Migration::unpack(Stream& stream) {
  const RowStore& rows = store_.rows();
  std::vector<std::pair<int64_t, int64_t>> device, offloaded;  // (slot of the store, number among the received)
  std::vector<int64_t> offloaded_slots, admitted, slots;
  int64_t item = 0;
  for (const auto& keys : received_.by_rank) directory_.admit(keys, admitted, slots);  // those that are mapped now
  for (const auto& keys : received_.by_rank)
    for (const int64_t key : keys) {
      const int64_t slot = directory_.slot(key);
      (slot < rows.slots ? device : offloaded).emplace_back(slot, item++);
      if (slot >= rows.slots) offloaded_slots.push_back(slot);
    }
  write(stream, rows, device);
  if (offloaded.empty()) return;
  load_offloaded(offloaded_slots);
  for (size_t i = 0; i < offloaded.size(); ++i) offloaded[i].first = offloaded_slots[i];
  write(stream, offloaded_.rows(), offloaded);
  offloaded_.finish(true);
}

/// Received rows to their slots of a store, run by run of neighbouring slots. Waits.
void Migration::write(Stream& stream, const RowStore& rows, std::vector<std::pair<int64_t, int64_t>>& slot_and_item) {
  std::sort(slot_and_item.begin(), slot_and_item.end());
  const auto n = static_cast<int64_t>(slot_and_item.size());
  const float** values = buffers_.value_addresses.reserve(n);
  const float** state = buffers_.state_addresses.reserve(n);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t item = slot_and_item[i].second;
    values[i] = values_.f32() + item * rows.dim;
    state[i] = state_values_.f32() + item * rows.state_dim;
  }
  buffers_.value_addresses.upload(stream, n);
  buffers_.state_addresses.upload(stream, n);
  for (int64_t i = 0; i < n;) {
    const int64_t slot = slot_and_item[i].first;
    int64_t run = 1;
    while (i + run < n && slot_and_item[i + run].first == slot + run) ++run;
    backend_.pack_rows(stream, buffers_.value_addresses.device() + i, nullptr, run,
                       Matrix::f32(rows.values + slot * rows.dim, run, rows.dim));
    if (rows.state_dim > 0)
      backend_.pack_rows(stream, buffers_.state_addresses.device() + i, nullptr, run,
                         Matrix::f32(rows.state + slot * rows.state_dim, run, rows.state_dim));
    i += run;
  }
  backend_.synchronize(stream);
}

}  // namespace sparrow
