#include "comm_cases.hpp"

#include <bit>
#include <cstring>
#include <numeric>

#include "base/error.hpp"
#include "base/random.hpp"
#include "comm/collectives.hpp"

namespace sparrow::test {

namespace {

std::vector<int64_t> offsets_of(const std::vector<int64_t>& bytes) {
  std::vector<int64_t> offsets(bytes.size());
  std::exclusive_scan(bytes.begin(), bytes.end(), offsets.begin(), int64_t{0});
  return offsets;
}

int64_t total_of(const std::vector<int64_t>& bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), int64_t{0});
}

/// A byte that depends on everything that may be mixed up.
std::byte pattern(int operation, int from, int to, int64_t i) {
  const auto key = static_cast<uint64_t>(operation) << 48 | static_cast<uint64_t>(from) << 36 |
                   static_cast<uint64_t>(to) << 24 | static_cast<uint64_t>(i);
  return static_cast<std::byte>(mix64(key));
}

/// How many bytes `from` sends to `to` in the n-th operation: many zeros, sizes from 1 to some thousands.
int64_t uneven(int operation, int from, int to) {
  const uint64_t word = mix64(static_cast<uint64_t>(operation * 10007 + from * 101 + to));
  return word % 3 == 0 ? 0 : static_cast<int64_t>(word >> 8) % (word % 2 == 0 ? 10 : 5000);
}

OwnedAllToAll make_uneven(Comm& comm, int operation) {
  std::vector<int64_t> send_bytes, recv_bytes;
  for (int peer = 0; peer < comm.size(); ++peer) {
    send_bytes.push_back(uneven(operation, comm.rank(), peer));
    recv_bytes.push_back(uneven(operation, peer, comm.rank()));
  }
  OwnedAllToAll owned(Phase::rows, send_bytes, recv_bytes);
  for (int peer = 0; peer < comm.size(); ++peer) {
    for (int64_t i = 0; i < send_bytes[peer]; ++i) owned.send(peer)[i] = pattern(operation, comm.rank(), peer, i);
  }
  return owned;
}

void check_uneven(Comm& comm, int operation, const OwnedAllToAll& owned) {
  for (int peer = 0; peer < comm.size(); ++peer) {
    for (int64_t i = 0; i < uneven(operation, peer, comm.rank()); ++i) {
      SPARROW_CHECK(owned.received(peer)[i] == pattern(operation, peer, comm.rank(), i),
                    "operation {}, byte {} from rank {}", operation, i, peer);
    }
  }
}

void uneven_sizes_arrive(Comm& comm) {
  for (int operation = 0; operation < 20; ++operation) {
    OwnedAllToAll owned = make_uneven(comm, operation);
    comm.wait(comm.post(nullptr, owned.view()));
    check_uneven(comm, operation, owned);
  }
}

void operations_may_be_waited_for_in_any_order(Comm& comm) {
  constexpr int kCount = Comm::kMaxPosted;
  std::vector<OwnedAllToAll> owned;
  std::vector<Ticket> tickets;
  for (int i = 0; i < kCount; ++i) owned.push_back(make_uneven(comm, i));
  for (int i = 0; i < kCount; ++i) tickets.push_back(comm.post(nullptr, owned[i].view()));
  for (int i = 0; i < kCount; ++i) {
    const int k = (i * 37 + comm.rank() * 11) % kCount;  // 37 is odd: every operation once, another order on each rank
    comm.wait(tickets[k]);
    check_uneven(comm, k, owned[k]);
  }
}

void expect_error(const std::function<void()>& action, const std::string& part) {
  try {
    action();
  } catch (const Error& error) {
    SPARROW_CHECK(std::string(error.what()).find(part) != std::string::npos, "{}", error.what());
    return;
  }
  fail("no error, expected one that says: {}", part);
}

void bad_calls_throw_and_leave_the_communicator_usable(Comm& comm) {
  expect_error([&] { comm.wait({}); }, "no operation under way");
  expect_error([&] { comm.wait({Comm::kMaxPosted}); }, "no operation under way");
  const std::vector<int64_t> zeros(comm.size(), 0), minus(comm.size(), -1), eight(comm.size(), 8),
      many(comm.size() + 1, 0);
  std::byte buffer[8] = {};
  AllToAll good{Phase::control, buffer, zeros, zeros, buffer, zeros, zeros}, bad = good;
  bad.send_bytes = many;
  expect_error([&] { comm.post(nullptr, bad); }, "elements");
  bad = good;
  bad.recv_offsets = minus;
  expect_error([&] { comm.post(nullptr, bad); }, "-1");
  bad = good;
  bad.send = nullptr;
  bad.send_bytes = eight;
  expect_error([&] { comm.post(nullptr, bad); }, "null");
  bad = good;
  bad.recv_bytes = eight;
  expect_error([&] { comm.post(nullptr, bad); }, "to itself");
  std::vector<Ticket> tickets;
  for (int i = 0; i < Comm::kMaxPosted; ++i) tickets.push_back(comm.post(nullptr, good));
  expect_error([&] { comm.post(nullptr, good); }, "operations posted");
  for (const Ticket ticket : tickets) comm.wait(ticket);
  expect_error([&] { comm.wait(tickets[0]); }, "no operation under way");
  uneven_sizes_arrive(comm);
}

void traffic_counts_exactly_what_goes_to_others(Comm& comm) {
  const auto own = comm.split(0, comm.rank());  // begins at zero
  const auto phase = static_cast<size_t>(Phase::rows);
  int64_t sent = 0, messages = 0, received = 0;
  for (int operation = 0; operation < 5; ++operation) {
    const OwnedAllToAll owned = make_uneven(*own, operation);
    own->wait(own->post(nullptr, owned.view()));
    for (int peer = 0; peer < own->size(); ++peer) {
      if (peer == own->rank()) continue;
      sent += uneven(operation, own->rank(), peer);
      messages += uneven(operation, own->rank(), peer) > 0;
      received += uneven(operation, peer, own->rank());
    }
  }
  const Traffic& traffic = own->traffic();
  SPARROW_CHECK(traffic.sent_bytes[phase] == sent, "{} and {}", traffic.sent_bytes[phase], sent);
  SPARROW_CHECK(traffic.sent_messages[phase] == messages, "{} and {}", traffic.sent_messages[phase], messages);
  SPARROW_CHECK(traffic.received_bytes[phase] == received, "{} and {}", traffic.received_bytes[phase], received);
  for (size_t other = 0; other < kPhases; ++other) {
    SPARROW_CHECK(other == phase || (traffic.sent_bytes[other] == 0 && traffic.sent_messages[other] == 0));
  }
}

void split_groups_by_colour_and_orders_by_key(Comm& comm) {
  const auto half = comm.split(comm.rank() % 2, -comm.rank());  // reversed
  const int expected_size = (comm.size() + 1 - comm.rank() % 2) / 2;
  SPARROW_CHECK(half && half->size() == expected_size, "{} of {}", half->size(), expected_size);
  SPARROW_CHECK(half->rank() == expected_size - 1 - comm.rank() / 2, "rank {}", half->rank());
  const auto members = all_gather(*half, int64_t{comm.rank()});
  for (int i = 0; i < half->size(); ++i) {
    SPARROW_CHECK(members[i] == comm.rank() % 2 + 2 * (expected_size - 1 - i), "member {} is {}", i, members[i]);
  }
  uneven_sizes_arrive(*half);
  uneven_sizes_arrive(comm);  // the old one still works
  const auto equal_keys = comm.split(3, 0);
  SPARROW_CHECK(equal_keys->rank() == comm.rank());
}

void undefined_colour_gives_no_communicator(Comm& comm) {
  const auto all_but_first = comm.split(comm.rank() == 0 ? -1 : 5, 0);
  SPARROW_CHECK((all_but_first == nullptr) == (comm.rank() == 0));
  if (all_but_first) {
    SPARROW_CHECK(all_but_first->size() == comm.size() - 1 && all_but_first->rank() == comm.rank() - 1);
    uneven_sizes_arrive(*all_but_first);
  }
}

/// 2^-20 .. 2^20 with signs, so that the order of additions shows in the last bits.
std::vector<float> rough_values(int rank, int64_t n) {
  std::vector<float> values(n);
  for (int64_t i = 0; i < n; ++i) {
    const Philox4 words = random_words(7, static_cast<uint32_t>(rank), static_cast<uint64_t>(i), 0);
    values[i] = std::ldexp(uniform_float(words.v[0]) - 0.5f, static_cast<int>(words.v[1] % 41) - 20);
  }
  return values;
}

void all_reduce_is_the_sequential_sum_bit_for_bit(Comm& comm) {
  for (const int64_t n : {0, 1, 2, 5, 1000, 20011}) {
    std::vector<float> expected = rough_values(0, n);
    for (int rank = 1; rank < comm.size(); ++rank) {
      const auto values = rough_values(rank, n);
      for (int64_t i = 0; i < n; ++i) expected[i] += values[i];
    }
    AllReduce all_reduce(comm, n);
    for (int repetition = 0; repetition < 2; ++repetition) {
      auto values = rough_values(comm.rank(), n);
      all_reduce.sum(values);
      for (int64_t i = 0; i < n; ++i) {
        SPARROW_CHECK(std::bit_cast<uint32_t>(values[i]) == std::bit_cast<uint32_t>(expected[i]), "{} of {}: {} and {}",
                      i, n, values[i], expected[i]);
      }
    }
  }
}

void all_reduce_sends_the_fewest_bytes(Comm& comm) {
  const auto own = comm.split(0, comm.rank());
  const int64_t n = 12 * own->size();
  AllReduce all_reduce(*own, n);
  std::vector<float> values(n, 1.0f);
  all_reduce.sum(values, Phase::rows);
  const int64_t expected = 2 * (own->size() - 1) * 12 * static_cast<int64_t>(sizeof(float));
  SPARROW_CHECK(own->traffic().sent_bytes[static_cast<size_t>(Phase::rows)] == expected);
  SPARROW_CHECK(own->traffic().sent_bytes[static_cast<size_t>(Phase::allreduce)] == 0);
}

void broadcast_reaches_everybody_from_any_root(Comm& comm) {
  for (int root = 0; root < comm.size(); ++root) {
    std::vector<float> values = rough_values(comm.rank() == root ? root : 1000 + comm.rank(), 37);
    broadcast(comm, std::as_writable_bytes(std::span(values)), root);
    SPARROW_CHECK(values == rough_values(root, 37), "root {}", root);
    const std::string text = std::string(root * 3, 'x') + std::to_string(comm.rank());
    SPARROW_CHECK(broadcast_string(comm, text, root) == std::string(root * 3, 'x') + std::to_string(root));
  }
  SPARROW_CHECK(broadcast_string(comm, "", 0).empty());
}

void gathers_are_ordered_by_rank(Comm& comm) {
  const auto integers = all_gather(comm, int64_t{comm.rank()} * 1000000007);
  const auto reals = all_gather(comm, 0.5 + comm.rank());
  const auto texts = all_gather(comm, std::string(comm.rank() * 7 % 5, static_cast<char>('a' + comm.rank())));
  for (int rank = 0; rank < comm.size(); ++rank) {
    SPARROW_CHECK(integers[rank] == int64_t{rank} * 1000000007 && reals[rank] == 0.5 + rank);
    SPARROW_CHECK(texts[rank] == std::string(rank * 7 % 5, static_cast<char>('a' + rank)), "'{}'", texts[rank]);
  }
  for (int root = 0; root < comm.size(); ++root) {
    const auto gathered = gather(comm, rough_values(comm.rank(), comm.rank() * 3 % 4), root);
    std::vector<float> expected;
    for (int rank = 0; rank < comm.size() && comm.rank() == root; ++rank) {
      const auto values = rough_values(rank, rank * 3 % 4);
      expected.insert(expected.end(), values.begin(), values.end());
    }
    SPARROW_CHECK(gathered == expected, "root {}", root);
    const auto at_root = gather(comm, texts[comm.rank()], root);
    SPARROW_CHECK(at_root == (comm.rank() == root ? texts : std::vector<std::string>{}), "root {}", root);
  }
}

void sums_and_maxima_of_scalars(Comm& comm) {
  const int64_t size = comm.size();
  SPARROW_CHECK(sum(comm, int64_t{comm.rank()} + 1) == size * (size + 1) / 2);
  SPARROW_CHECK(max(comm, -int64_t{comm.rank()}) == 0);
  SPARROW_CHECK(max(comm, int64_t{comm.rank()}) == size - 1);
  double expected = 0;
  for (int rank = 0; rank < size; ++rank) expected += 0.1 * (rank + 1);
  SPARROW_CHECK(sum(comm, 0.1 * (comm.rank() + 1)) == expected);
}

void control_messages_grow_with_the_logarithm_of_the_ranks(Comm& comm) {
  const auto own = comm.split(0, comm.rank());
  const int64_t rounds = std::bit_width(static_cast<unsigned>(own->size() - 1));  // ceil(log2 size)
  const int64_t& messages = own->traffic().sent_messages[static_cast<size_t>(Phase::control)];
  barrier(*own);
  SPARROW_CHECK(messages == rounds, "{} messages of a barrier", messages);
  all_gather(*own, 1.0);
  SPARROW_CHECK(messages == 2 * rounds, "{} messages of both", messages);
}

}  // namespace

const std::vector<CommCase>& comm_cases() {
  static const std::vector<CommCase> cases = {
#define SPARROW_CASE(function) {#function, function}
      SPARROW_CASE(uneven_sizes_arrive),
      SPARROW_CASE(operations_may_be_waited_for_in_any_order),
      SPARROW_CASE(bad_calls_throw_and_leave_the_communicator_usable),
      SPARROW_CASE(traffic_counts_exactly_what_goes_to_others),
      SPARROW_CASE(split_groups_by_colour_and_orders_by_key),
      SPARROW_CASE(undefined_colour_gives_no_communicator),
      SPARROW_CASE(all_reduce_is_the_sequential_sum_bit_for_bit),
      SPARROW_CASE(all_reduce_sends_the_fewest_bytes),
      SPARROW_CASE(broadcast_reaches_everybody_from_any_root),
      SPARROW_CASE(gathers_are_ordered_by_rank),
      SPARROW_CASE(sums_and_maxima_of_scalars),
      SPARROW_CASE(control_messages_grow_with_the_logarithm_of_the_ranks),
#undef SPARROW_CASE
  };
  return cases;
}

OwnedAllToAll::OwnedAllToAll(Phase phase, std::vector<int64_t> send_bytes, std::vector<int64_t> recv_bytes)
    : phase_(phase),
      send_bytes_(std::move(send_bytes)),
      send_offsets_(offsets_of(send_bytes_)),
      recv_bytes_(std::move(recv_bytes)),
      recv_offsets_(offsets_of(recv_bytes_)),
      send_(total_of(send_bytes_)),
      recv_(total_of(recv_bytes_)) {}

AllToAll OwnedAllToAll::view() const {
  return {phase_, send_.data(), send_bytes_, send_offsets_, recv_.data(), recv_bytes_, recv_offsets_};
}

std::string last_rank_is_silent(Comm& comm) {
  const int last = comm.size() - 1;
  if (comm.rank() == last) return "";
  std::vector<int64_t> zeros(comm.size(), 0), recv_bytes(zeros);
  recv_bytes[last] = 8;
  const OwnedAllToAll owned(Phase::rows, zeros, recv_bytes);
  try {
    comm.wait(comm.post(nullptr, owned.view()));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string sizes_disagree(Comm& comm, int64_t sent, int64_t expected) {
  std::vector<int64_t> send_bytes(comm.size(), 0), recv_bytes(send_bytes);
  if (comm.rank() == 0) send_bytes[1] = sent;
  if (comm.rank() == 1) recv_bytes[0] = expected;
  const OwnedAllToAll owned(Phase::rows, send_bytes, recv_bytes);
  try {
    const Ticket first = comm.post(nullptr, owned.view());
    barrier(comm);
    comm.wait(first);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace sparrow::test
