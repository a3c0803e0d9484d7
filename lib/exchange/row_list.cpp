#include "exchange/row_list.hpp"

#include <algorithm>
#include <limits>

#include "base/error.hpp"

namespace sparrow {

RowList::RowList(Backend& backend)
    : keys(backend, Memory::host),
      slots(backend),
      row_of_member(backend),
      group_offsets(backend),
      group_items(backend),
      addresses(backend),
      gradients(backend, Memory::device) {}

void RowList::upload(Stream& stream) {
  row_of_member.upload(stream, members);
  group_offsets.upload(stream, count + 1);
  group_items.upload(stream, members);
}

StageCounts::StageCounts(int peers) : asked(peers), asked_offsets(peers), requested(peers), requested_offsets(peers) {}

namespace {
int64_t running_sum(const std::vector<int64_t>& counts, std::vector<int64_t>& offsets) {
  int64_t total = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    offsets[i] = total;
    total += counts[i];
  }
  return total;
}
}  // namespace

void StageCounts::sum_asked() {
  asked_total = running_sum(asked, asked_offsets);
}
void StageCounts::sum_requested() {
  requested_total = running_sum(requested, requested_offsets);
}

StageComms::StageComms(Comm& host, Comm& device, const Hierarchy& hierarchy) {
  SPARROW_CHECK(host.size() == hierarchy.ranks(), "{} ranks run, the topology has {}", host.size(), hierarchy.ranks());
  for (int stage = 0; stage < hierarchy.depth(); ++stage) {
    const int domain = hierarchy.domain(stage, host.rank());
    const auto& members = hierarchy.members(stage, domain);
    host_.push_back(host.group(members));
    if (&device != &host) device_.push_back(device.group(members));
    sizes_.push_back(host_.back()->size());
    std::vector<int> peer(host.size(), -1);
    for (size_t i = 0; i < members.size(); ++i) peer[members[i]] = static_cast<int>(i);
    peer_of_.push_back(std::move(peer));
  }
}

Traffic StageComms::traffic(int stage) const {
  return device_.empty() ? host(stage).traffic() : host(stage).traffic() + device(stage).traffic();
}

Traffic StageComms::traffic() const {
  Traffic total;
  for (int stage = 0; stage < count(); ++stage) total = total + traffic(stage);
  return total;
}

RowListMaker::RowListMaker(Backend& host, int64_t key_bytes, int tables)
    : host_(host),
      stream_(host.make_stream()),
      key_bytes_(key_bytes),
      distinct_segments_(static_cast<size_t>(std::max(tables, 1)) + 1),
      distinct_keys_(host, Memory::host),
      requests_(host, Memory::host),
      destination_(host, Memory::host),
      order_(host, Memory::host),
      order_offsets_(host, Memory::host),
      place_(host, Memory::host),
      send_keys_(host, Memory::host),
      recv_keys_(host, Memory::host) {}

std::span<const int64_t> RowListMaker::distinct(const int64_t* keys, std::span<const int64_t> segments, RowList& list) {
  list.members = segments.back();
  SPARROW_CHECK(list.members <= std::numeric_limits<int32_t>::max(), "{} rows asked for in one batch", list.members);
  int64_t* result = distinct_keys_.reserve(list.members);
  host_.distinct(*stream_, keys, segments, result, distinct_segments_.data(), list.row_of_member.reserve(list.members));
  host_.synchronize(*stream_);
  list.count = distinct_segments_[segments.size() - 1];
  return {result, static_cast<size_t>(list.count)};
}

void RowListMaker::arrange(RowList& list, StageCounts* counts) {
  constexpr int64_t kHere = 2;  // groups before those of the peers
  const int64_t peers = counts ? static_cast<int64_t>(counts->asked.size()) : 0;
  int32_t* group = destination_.data();
  for (int64_t i = 0; i < list.count; ++i) group[i] += kHere;  // kDevice becomes group 0
  int32_t* offsets = order_offsets_.reserve(peers + kHere + 1);
  int32_t* order = order_.reserve(list.count);
  host_.group(*stream_, group, list.count, peers + kHere, offsets, order);
  host_.synchronize(*stream_);
  list.device = offsets[1];
  list.here = offsets[kHere];
  for (int64_t p = 0; p < peers; ++p) counts->asked[p] = offsets[p + kHere + 1] - offsets[p + kHere];
  if (counts) counts->sum_asked();
  const int64_t* distinct_keys = distinct_keys_.data();
  int64_t* row_keys = list.keys.reserve(list.count);
  int32_t* row_of_member = list.row_of_member.data();
  int32_t* place = place_.reserve(list.count);
  for (int64_t i = 0; i < list.count; ++i) {
    row_keys[i] = distinct_keys[order[i]];
    place[order[i]] = static_cast<int32_t>(i);
  }
  for (int64_t m = 0; m < list.members; ++m) row_of_member[m] = place[row_of_member[m]];
  group_members(list);
}

void RowListMaker::arrange_here(RowList& list) {
  list.here = list.device = list.count;
  std::copy_n(distinct_keys_.data(), list.count, list.keys.reserve(list.count));
  group_members(list);
}

void RowListMaker::group_members(RowList& list) {
  int32_t* group_offsets = list.group_offsets.reserve(list.count + 1);
  int32_t* group_items = list.group_items.reserve(list.members);
  list.groups = {list.count, list.members, list.group_offsets.device(), list.group_items.device()};
  host_.group(*stream_, list.row_of_member.data(), list.members, list.count, group_offsets, group_items);
  host_.synchronize(*stream_);
}

std::span<const int64_t> RowListMaker::exchange_keys(Comm& comm, Phase phase, const int64_t* keys, int64_t total_rows,
                                                     StageCounts& counts) {
  const auto peers = static_cast<size_t>(comm.size());
  for (auto* list : {&send_bytes_, &send_offsets_, &recv_bytes_, &recv_offsets_}) list->resize(peers);
  for (size_t p = 0; p < peers; ++p) {
    send_bytes_[p] = recv_bytes_[p] = 8;
    send_offsets_[p] = recv_offsets_[p] = static_cast<int64_t>(8 * p);
  }
  AllToAll exchange{phase,         reinterpret_cast<const std::byte*>(counts.asked.data()), send_bytes_,
                    send_offsets_, reinterpret_cast<std::byte*>(counts.requested.data()),   recv_bytes_,
                    recv_offsets_};
  comm.wait(comm.post(nullptr, exchange));
  for (const int64_t n : counts.requested)
    SPARROW_CHECK(n >= 0 && n <= std::numeric_limits<int32_t>::max(), "asked for {} rows", n);
  counts.sum_requested();

  for (size_t p = 0; p < peers; ++p) {
    send_bytes_[p] = counts.asked[p] * key_bytes_, send_offsets_[p] = counts.asked_offsets[p] * key_bytes_;
    recv_bytes_[p] = counts.requested[p] * key_bytes_, recv_offsets_[p] = counts.requested_offsets[p] * key_bytes_;
  }
  int64_t* requests = requests_.reserve(counts.requested_total);
  if (key_bytes_ == 8) {
    exchange.send = reinterpret_cast<const std::byte*>(keys);
    exchange.recv = reinterpret_cast<std::byte*>(requests);
    comm.wait(comm.post(nullptr, exchange));
  } else {
    uint32_t* send = send_keys_.reserve(counts.asked_total);
    uint32_t* recv = recv_keys_.reserve(counts.requested_total);
    for (int64_t i = 0; i < counts.asked_total; ++i) send[i] = static_cast<uint32_t>(keys[i]);
    exchange.send = reinterpret_cast<const std::byte*>(send);
    exchange.recv = reinterpret_cast<std::byte*>(recv);
    comm.wait(comm.post(nullptr, exchange));
    for (int64_t i = 0; i < counts.requested_total; ++i) requests[i] = recv[i];
  }
  for (int64_t i = 0; i < counts.requested_total; ++i)
    SPARROW_CHECK(requests[i] >= 0 && requests[i] < total_rows, "a rank asks for row {} of {}", requests[i],
                  total_rows);
  return {requests, static_cast<size_t>(counts.requested_total)};
}

Ticket RowTransfer::post(Stream* stream, Comm& comm, Phase phase, const void* send,
                         const std::vector<int64_t>& send_rows, const std::vector<int64_t>& send_row_offsets,
                         void* recv, const std::vector<int64_t>& recv_rows,
                         const std::vector<int64_t>& recv_row_offsets, int64_t row_bytes, bool with_self) {
  const size_t peers = send_rows.size(), self = static_cast<size_t>(comm.rank());
  for (auto* list : {&send_bytes, &send_offsets, &recv_bytes, &recv_offsets}) list->resize(peers);
  for (size_t p = 0; p < peers; ++p) {
    const bool skip = p == self && !with_self;
    send_bytes[p] = skip ? 0 : send_rows[p] * row_bytes, send_offsets[p] = send_row_offsets[p] * row_bytes;
    recv_bytes[p] = skip ? 0 : recv_rows[p] * row_bytes, recv_offsets[p] = recv_row_offsets[p] * row_bytes;
  }
  return comm.post(stream, {phase, static_cast<const std::byte*>(send), send_bytes, send_offsets,
                            static_cast<std::byte*>(recv), recv_bytes, recv_offsets});
}

}  // namespace sparrow
