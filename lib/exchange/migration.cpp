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

Migration::Migration(const RankContext& context, Directory& directory, Store& store, CopyPlan to,
                     const MigrationState& state)
    : context_(context),
      backend_(context.backend),
      directory_(directory),
      store_(store),
      to_(std::move(to)),
      change_(directory.tables(), directory.hierarchy(), directory.plan(), to_, state.slices),
      state_(state),
      buffers_(context.backend) {
  SPARROW_CHECK(state.copies_per_move > 0 && state.done >= 0 && state.done <= change_.positions(),
                "{} of {} positions moved, {} copies at a time", state.done, change_.positions(),
                state.copies_per_move);
  directory_.follow(finished() ? to_ : change_.plan(state_.done));
}

int Migration::slices_that_fit(Comm& comm, const Directory& directory, const CopyPlan& to, std::string& why_not) {
  constexpr int kMostSlices = 1024;
  const SlotRoom room{directory.device_slots(), directory.offloaded_slots()};
  std::string lack;
  for (int slices = 1; slices <= kMostSlices; slices *= 4) {
    const PlanChange change(directory.tables(), directory.hierarchy(), directory.plan(), to, slices);
    const SlotRoom most = change.most_held(comm.rank());
    const bool fits = most.device <= room.device && most.offloaded <= room.offloaded;
    lack = fits ? ""
                : fmt::format("{} rows in device memory and {} in the slower store, there is room for {} and {}",
                              most.device, most.offloaded, room.device, room.offloaded);
    if (sum(comm, int64_t{fits ? 0 : 1}) == 0) return slices;
  }
  const std::vector<std::string> lacks = all_gather(comm, lack);
  const auto first = std::find_if(lacks.begin(), lacks.end(), [](const std::string& text) { return !text.empty(); });
  why_not =
      fmt::format("rows cannot move to the new plan: on the way rank {} would hold {}", first - lacks.begin(), *first);
  return 0;
}

void Migration::Part::sum() {
  rows.clear();
  offsets.clear();
  total = 0;
  for (const auto& list : by_rank) {
    offsets.push_back(total);
    rows.push_back(static_cast<int64_t>(list.size()));
    total += rows.back();
  }
}

Migration::Buffers::Buffers(Backend& backend)
    : value_addresses(backend),
      state_addresses(backend),
      send_values(backend, Memory::device),
      send_state(backend, Memory::device),
      recv_values(backend, Memory::device),
      recv_state(backend, Memory::device) {}

void Migration::Buffers::reserve(int64_t copies, int64_t dim, int64_t state_dim) {
  for (auto* addresses : {&value_addresses, &state_addresses}) addresses->reserve_exactly(copies);
  for (auto* values : {&send_values, &recv_values}) values->reserve_exactly(copies * dim);
  for (auto* state : {&send_state, &recv_state}) state->reserve_exactly(copies * state_dim);
}

void Migration::move(Stream& stream) {
  SPARROW_CHECK(!finished());
  const Timer timer;
  if (!backend_.device_is_host()) buffers_.reserve(state_.copies_per_move, store_.rows().dim, store_.rows().state_dim);
  const int64_t end = change_.end_of_step(state_.done, state_.copies_per_move);
  list(state_.done, end);
  pack(stream);
  totals_.positions += end - state_.done;
  state_.done = end;
  directory_.follow(finished() ? to_ : change_.plan(end));
  exchange(stream);
  unpack(stream);
  totals_.seconds += timer.seconds();
}

/// What this rank sends, as slots that the rows have now, and what it gets, as keys.
void Migration::list(int64_t begin, int64_t end) {
  const int me = directory_.rank();
  for (Part* part : {&sent_, &received_}) {
    part->by_rank.resize(context_.comm.size());
    for (auto& keys : part->by_rank) keys.clear();
  }
  change_.visit(begin, end, [&](const PlanChange::CopyMove& copy) {
    if (copy.source == me) sent_.by_rank[copy.destination].push_back(directory_.slot(copy.key));
    if (copy.destination == me) received_.by_rank[copy.source].push_back(copy.key);
  });
  sent_.sum();
  received_.sum();
}

OffloadedBatch& Migration::offloaded_batch() {
  if (!offloaded_) offloaded_ = store_.offloaded()->make_batch();
  return *offloaded_;
}

void Migration::pack(Stream& stream) {
  const RowStore& rows = store_.rows();
  std::vector<int64_t> offloaded;  // of the slower store, ascending
  for (const auto& slots : sent_.by_rank)
    for (const int64_t slot : slots)
      if (slot >= rows.slots) offloaded.push_back(slot - rows.slots);
  std::sort(offloaded.begin(), offloaded.end());
  offloaded.erase(std::unique(offloaded.begin(), offloaded.end()), offloaded.end());
  RowStore loaded{};
  if (!offloaded.empty()) {
    offloaded_batch().start(offloaded);
    offloaded_batch().load();
    loaded = offloaded_batch().rows();
  }
  const float** values = buffers_.value_addresses.reserve(sent_.total);
  const float** state = buffers_.state_addresses.reserve(sent_.total);
  int64_t n = 0;
  for (const auto& slots : sent_.by_rank)
    for (const int64_t slot : slots) {
      const bool here = slot < rows.slots;
      const RowStore& from = here ? rows : loaded;
      int64_t place = slot;
      if (!here)
        place = offloaded_batch().place_of(std::lower_bound(offloaded.begin(), offloaded.end(), slot - rows.slots) -
                                           offloaded.begin());
      values[n] = from.values + place * rows.dim;
      state[n++] = from.state + place * rows.state_dim;
    }
  buffers_.value_addresses.upload(stream, n);
  buffers_.state_addresses.upload(stream, n);
  backend_.pack_rows(stream, buffers_.value_addresses.device(), nullptr, n,
                     Matrix::f32(buffers_.send_values.reserve(n * rows.dim), n, rows.dim));
  if (rows.state_dim > 0)
    backend_.pack_rows(stream, buffers_.state_addresses.device(), nullptr, n,
                       Matrix::f32(buffers_.send_state.reserve(n * rows.state_dim), n, rows.state_dim));
  backend_.synchronize(stream);  // addresses and offloaded rows are free for others
  if (!offloaded.empty()) offloaded_batch().finish(false);
}

void Migration::exchange(Stream& stream) {
  const RowStore& rows = store_.rows();
  Comm& comm = context_.device_comm;
  const auto send = [&](Scratch<float>& from, Scratch<float>& to, int64_t width) {
    if (width == 0) return;
    float* recv = to.reserve(received_.total * width);
    comm.wait(transfer_.post(&stream, comm, Phase::control, from.data(), sent_.rows, sent_.offsets, recv,
                             received_.rows, received_.offsets, width * 4, true));
  };
  send(buffers_.send_values, buffers_.recv_values, rows.dim);
  send(buffers_.send_state, buffers_.recv_state, rows.state_dim);
  const int64_t sent = sent_.total - sent_.rows[comm.rank()];
  totals_.sent_rows += sent;
  totals_.sent_bytes += sent * 4 * (rows.dim + rows.state_dim);
}

void Migration::unpack(Stream& stream) {
  const RowStore& rows = store_.rows();
  std::vector<std::pair<int64_t, int64_t>> device, offloaded;  // (slot of the store, place among the received)
  int64_t place = 0;
  for (const auto& keys : received_.by_rank)
    for (const int64_t key : keys) {
      const int64_t slot = directory_.slot(key);
      if (slot < rows.slots)
        device.emplace_back(slot, place++);
      else
        offloaded.emplace_back(slot - rows.slots, place++);
    }
  std::sort(device.begin(), device.end());
  std::sort(offloaded.begin(), offloaded.end());
  write(stream, rows, device);
  backend_.synchronize(stream);
  if (offloaded.empty()) return;
  std::vector<int64_t> slots;
  for (const auto& [slot, from] : offloaded) slots.push_back(slot);
  OffloadedBatch& batch = offloaded_batch();
  batch.start(slots);
  batch.load();
  for (size_t i = 0; i < offloaded.size(); ++i) offloaded[i].first = batch.place_of(static_cast<int64_t>(i));
  std::sort(offloaded.begin(), offloaded.end());
  write(stream, batch.rows(), offloaded);
  backend_.synchronize(stream);
  batch.finish(true);
}

/// Received rows to their slots of a store, run by run of neighbouring slots.
void Migration::write(Stream& stream, const RowStore& rows,
                      const std::vector<std::pair<int64_t, int64_t>>& slot_and_place) {
  const auto n = static_cast<int64_t>(slot_and_place.size());
  const float** values = buffers_.value_addresses.reserve(n);
  const float** state = buffers_.state_addresses.reserve(n);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t place = slot_and_place[i].second;
    values[i] = buffers_.recv_values.data() + place * rows.dim;
    state[i] = buffers_.recv_state.data() + place * rows.state_dim;
  }
  buffers_.value_addresses.upload(stream, n);
  buffers_.state_addresses.upload(stream, n);
  for (int64_t i = 0; i < n;) {
    const int64_t slot = slot_and_place[i].first;
    int64_t run = 1;
    while (i + run < n && slot_and_place[i + run].first == slot + run) ++run;
    backend_.pack_rows(stream, buffers_.value_addresses.device() + i, nullptr, run,
                       Matrix::f32(rows.values + slot * rows.dim, run, rows.dim));
    if (rows.state_dim > 0)
      backend_.pack_rows(stream, buffers_.state_addresses.device() + i, nullptr, run,
                         Matrix::f32(rows.state + slot * rows.state_dim, run, rows.state_dim));
    i += run;
  }
}

}  // namespace sparrow
