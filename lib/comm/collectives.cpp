#include "comm/collectives.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.hpp"
#include "comm/item_exchange.hpp"

namespace sparrow {

namespace {

/// One round of a tree algorithm: an all-to-all in which this rank talks to a few others. Reusable after exchange().
class Round {
 public:
  explicit Round(Comm& comm)
      : comm_(comm),
        send_bytes_(comm.size()),
        send_offsets_(comm.size()),
        recv_bytes_(comm.size()),
        recv_offsets_(comm.size()) {}

  /// At most one send and one receive a round.
  void send(int peer, const std::byte* data, int64_t bytes) {
    to_ = peer;
    operation_.send = data;
    send_bytes_[peer] = bytes;
  }
  void receive(int peer, std::byte* data, int64_t bytes) {
    from_ = peer;
    operation_.recv = data;
    recv_bytes_[peer] = bytes;
  }

  void exchange(Phase phase) {
    operation_.phase = phase;
    operation_.send_bytes = send_bytes_;
    operation_.send_offsets = send_offsets_;
    operation_.recv_bytes = recv_bytes_;
    operation_.recv_offsets = recv_offsets_;
    comm_.wait(comm_.post(nullptr, operation_));
    if (to_ >= 0) send_bytes_[to_] = 0;
    if (from_ >= 0) recv_bytes_[from_] = 0;
    to_ = from_ = -1;
    operation_ = {};
  }

 private:
  Comm& comm_;
  AllToAll operation_;
  int to_ = -1, from_ = -1;
  std::vector<int64_t> send_bytes_, send_offsets_, recv_bytes_, recv_offsets_;
};

/// Bruck's all-gather. `block` of rank r has block_bytes[r] bytes. Returns all blocks concatenated by rank.
std::vector<std::byte> all_gather_blocks(Comm& comm, std::span<const std::byte> block,
                                         const std::vector<int64_t>& block_bytes, Phase phase) {
  const int size = comm.size(), rank = comm.rank();
  // gathered = blocks of ranks rank, rank + 1, ... (modulo size); start[i] = where the i-th of them begins.
  std::vector<int64_t> start(size + 1, 0);
  for (int i = 0; i < size; ++i) start[i + 1] = start[i] + block_bytes[(rank + i) % size];
  std::vector<std::byte> gathered(start[size]);
  std::copy(block.begin(), block.end(), gathered.begin());
  Round round(comm);
  for (int have = 1; have < size; have *= 2) {
    const int more = std::min(have, size - have);
    const int to = (rank - have + size) % size, from = (rank + have) % size;
    round.send(to, gathered.data(), start[more]);
    round.receive(from, gathered.data() + start[have], start[have + more] - start[have]);
    round.exchange(phase);
  }
  std::rotate(gathered.begin(), gathered.begin() + start[(size - rank) % size], gathered.end());
  return gathered;
}

template <class T>
std::vector<T> all_gather_values(Comm& comm, T value, Phase phase) {
  const std::vector<int64_t> sizes(comm.size(), sizeof(T));
  const auto bytes = all_gather_blocks(comm, std::as_bytes(std::span(&value, 1)), sizes, phase);
  std::vector<T> values(comm.size());
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

/// Part i of n elements over `parts`: the first n % parts have one more.
int64_t part_begin(int64_t n, int parts, int i) {
  return n / parts * i + std::min<int64_t>(i, n % parts);
}

}  // namespace

void barrier(Comm& comm) {
  const std::byte token{1};
  std::byte received{};
  Round round(comm);
  for (int distance = 1; distance < comm.size(); distance *= 2) {
    round.send((comm.rank() + distance) % comm.size(), &token, 1);
    round.receive((comm.rank() - distance + comm.size()) % comm.size(), &received, 1);
    round.exchange(Phase::control);
  }
}

void broadcast(Comm& comm, std::span<std::byte> data, int root, Phase phase) {
  const int size = comm.size();
  SPARROW_CHECK(root >= 0 && root < size, "root {} of {} ranks", root, size);
  const int place = (comm.rank() - root + size) % size;  // 0 is the root
  const auto bytes = static_cast<int64_t>(data.size());
  Round round(comm);
  for (int reached = 1; reached < size; reached *= 2) {
    if (place < reached && place + reached < size) round.send((place + reached + root) % size, data.data(), bytes);
    if (place >= reached && place < 2 * reached) round.receive((place - reached + root) % size, data.data(), bytes);
    round.exchange(phase);
  }
}

std::string broadcast_string(Comm& comm, const std::string& text, int root) {
  auto length = static_cast<int64_t>(text.size());
  broadcast(comm, std::as_writable_bytes(std::span(&length, 1)), root);
  std::string result = comm.rank() == root ? text : std::string(length, '\0');
  broadcast(comm, std::as_writable_bytes(std::span(result)), root);
  return result;
}

std::vector<int64_t> all_gather(Comm& comm, int64_t value, Phase phase) {
  return all_gather_values(comm, value, phase);
}

std::vector<double> all_gather(Comm& comm, double value, Phase phase) {
  return all_gather_values(comm, value, phase);
}

std::vector<std::string> all_gather(Comm& comm, const std::string& text) {
  const auto lengths = all_gather(comm, static_cast<int64_t>(text.size()));
  const auto bytes = all_gather_blocks(comm, std::as_bytes(std::span(text)), lengths, Phase::control);
  std::vector<std::string> texts(comm.size());
  const std::byte* next = bytes.data();
  for (int rank = 0; rank < comm.size(); next += lengths[rank++]) {
    texts[rank].resize(lengths[rank]);
    if (lengths[rank] > 0) std::memcpy(texts[rank].data(), next, lengths[rank]);
  }
  return texts;
}

namespace {

/// Everybody's bytes one behind the other at root; lengths: by rank, everywhere.
std::vector<std::byte> gather_bytes(Comm& comm, std::span<const std::byte> bytes, int root,
                                    std::vector<int64_t>& lengths) {
  SPARROW_CHECK(root >= 0 && root < comm.size(), "root {} of {} ranks", root, comm.size());
  lengths = all_gather(comm, static_cast<int64_t>(bytes.size()));
  ItemsByRank sent(comm.size()), received(comm.size());
  sent.count[root] = std::ssize(bytes);
  sent.sum_up();
  if (comm.rank() == root) received.count = lengths;
  received.sum_up();
  std::vector<std::byte> gathered(received.total);
  ItemExchange().run(nullptr, comm, Phase::control, bytes.data(), sent, gathered.data(), received, 1);
  return gathered;
}

}  // namespace

std::vector<float> gather(Comm& comm, std::span<const float> values, int root) {
  std::vector<int64_t> lengths;
  const std::vector<std::byte> bytes = gather_bytes(comm, std::as_bytes(values), root, lengths);
  std::vector<float> gathered(bytes.size() / sizeof(float));
  if (!bytes.empty()) std::memcpy(gathered.data(), bytes.data(), bytes.size());
  return gathered;
}

std::vector<std::string> gather(Comm& comm, const std::string& text, int root) {
  std::vector<int64_t> lengths;
  const std::vector<std::byte> bytes = gather_bytes(comm, std::as_bytes(std::span(text)), root, lengths);
  std::vector<std::string> texts;
  const char* at = reinterpret_cast<const char*>(bytes.data());
  for (int rank = 0; comm.rank() == root && rank < comm.size(); at += lengths[rank++])
    texts.emplace_back(at, lengths[rank]);
  return texts;
}

AllReduce::AllReduce(Comm& comm, int64_t n) : comm_(comm), n_(n), part_bytes_(comm.size()), part_offsets_(comm.size()) {
  SPARROW_CHECK(n >= 0, "all-reduce of {} values", n);
  const int size = comm.size();
  constexpr int64_t kFloat = sizeof(float);
  for (int i = 0; i < size; ++i) {
    part_offsets_[i] = part_begin(n, size, i) * kFloat;
    part_bytes_[i] = part_begin(n, size, i + 1) * kFloat - part_offsets_[i];
  }
  const int64_t own_bytes = part_bytes_[comm.rank()];
  own_bytes_.assign(size, own_bytes);
  own_offsets_.assign(size, part_offsets_[comm.rank()]);
  scratch_offsets_.resize(size);
  for (int i = 0; i < size; ++i) scratch_offsets_[i] = i * own_bytes;
  scratch_.resize(own_bytes / kFloat * size);
}

void AllReduce::sum(std::span<float> values, Phase phase) {
  SPARROW_CHECK(std::ssize(values) == n_, "all-reduce made for {} values got {}", n_, values.size());
  if (comm_.size() == 1) return;
  auto* bytes = std::as_writable_bytes(values).data();
  auto* scratch = std::as_writable_bytes(std::span(scratch_)).data();
  // reduce-scatter: everybody's values of my part
  comm_.wait(comm_.post(nullptr, {phase, bytes, part_bytes_, part_offsets_, scratch, own_bytes_, scratch_offsets_}));
  add_parts(bytes + own_offsets_[0]);
  // all-gather: my sums to everybody
  comm_.wait(comm_.post(nullptr, {phase, bytes, own_bytes_, own_offsets_, bytes, part_bytes_, part_offsets_}));
}

void AllReduce::add_parts(std::byte* result) {
  constexpr int64_t kBlock = 2048;  // of the first-level cache, so that the sum stays there while ranks stream by
  float sums[kBlock];
  const int64_t length = own_bytes_[0] / static_cast<int64_t>(sizeof(float));
  for (int64_t begin = 0; begin < length; begin += kBlock) {
    const int64_t count = std::min(kBlock, length - begin);
    std::copy_n(scratch_.data() + begin, count, sums);
    for (int rank = 1; rank < comm_.size(); ++rank) {
      const float* part = scratch_.data() + rank * length + begin;
      for (int64_t i = 0; i < count; ++i) sums[i] += part[i];
    }
    std::memcpy(result + begin * static_cast<int64_t>(sizeof(float)), sums, count * sizeof(float));
  }
}

double sum(Comm& comm, double value) {
  const auto values = all_gather(comm, value);
  return std::accumulate(values.begin(), values.end(), 0.0);
}

int64_t sum(Comm& comm, int64_t value) {
  int64_t total = 0;
  for (const int64_t one : all_gather(comm, value)) {
    if (__builtin_add_overflow(total, one, &total)) fail("sum over {} ranks exceeds 64 bits", comm.size());
  }
  return total;
}

int64_t max(Comm& comm, int64_t value) {
  const auto values = all_gather(comm, value);
  return *std::max_element(values.begin(), values.end());
}

}  // namespace sparrow
