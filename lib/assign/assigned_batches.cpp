#include "assign/assigned_batches.hpp"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "assign/new_holders.hpp"
#include "base/error.hpp"
#include "data/batch_buffer.hpp"

namespace sparrow {
namespace {

constexpr int kInUse = 2;   ///< batches given out that stay valid
constexpr int kPacked = 2;  ///< batches of a reader: one on its way, one that is assigned

/// The same on all ranks: which batches there are, who reads them, and how many samples of each a rank trains.
class Turns {
 public:
  /// most: batches that are wanted of the pass.
  Turns(SampleRange range, const LoaderOptions& loader, int64_t most)
      : range_(range), batch_(loader.global_batch), first_(loader.first_batch) {
    SPARROW_CHECK(batch_ >= 1, "batches of {} samples", batch_);
    of_pass_ = (range.size() + batch_ - 1) / batch_;
    batches_ = std::min(of_pass_, most);
    for (int rank = 0; rank < loader.ranks; ++rank) {
      full_.push_back(part_of_batch(batch_, rank, loader.ranks, loader.shares).size());
      last_.push_back(part_of_batch(samples(of_pass_ - 1), rank, loader.ranks, loader.shares).size());
      if (loader.shares.empty() || loader.shares[static_cast<size_t>(rank)] > 0) readers_.push_back(rank);
    }
  }

  int64_t first() const { return first_; }
  int64_t batches() const { return batches_; }
  int readers() const { return static_cast<int>(readers_.size()); }
  int pieces() const { return std::min(readers(), SampleAssignment::kMostPieces); }
  int reader(int64_t k) const { return readers_[static_cast<size_t>(k % readers())]; }
  /// This rank's first turn; none for a rank that does not read.
  std::optional<int64_t> first_turn(int rank) const {
    const auto found = std::find(readers_.begin(), readers_.end(), rank);
    if (found == readers_.end()) return std::nullopt;
    const int64_t number = found - readers_.begin(), behind = (number - first_) % readers();
    return first_ + (behind + readers()) % readers();
  }

  /// Of the global batch.
  int64_t samples(int64_t k) const { return std::clamp<int64_t>(range_.size() - k * batch_, 0, batch_); }
  /// Of the ranks.
  std::span<const int64_t> quota(int64_t k) const { return k + 1 < of_pass_ ? full_ : last_; }
  int64_t samples_of(int rank, int64_t k) const { return quota(k)[static_cast<size_t>(rank)]; }
  int64_t most_samples_of(int rank) const { return std::max(samples_of(rank, 0), samples_of(rank, of_pass_ - 1)); }

 private:
  SampleRange range_;
  int64_t batch_, first_, of_pass_, batches_;
  std::vector<int> readers_;
  std::vector<int64_t> full_, last_;
};

/// Sizes and places of one all-to-all.
struct Parts {
  explicit Parts(int ranks) : bytes(static_cast<size_t>(ranks)), offset(static_cast<size_t>(ranks)) {}
  void clear() {
    std::fill(bytes.begin(), bytes.end(), 0);
    std::fill(offset.begin(), offset.end(), 0);
  }
  std::vector<int64_t> bytes, offset;
};

/// A part of a batch, as it comes and is given out.
struct Slot {
  BatchBuffer buffer;
  std::vector<int64_t> new_rows;
  Traffic traffic;  ///< of the exchanges that brought it
};

/// What a reader says of its batch ahead of anything else.
struct Header {
  int64_t bytes = 0;   ///< of the new holders, or of the error's text
  int64_t failed = 0;  ///< 1: the text says why
};

}  // namespace

struct AssignedBatches::State {
  State(std::unique_ptr<Comm> own_comm, const Dataset& data, SampleRange range, const PositionMap& positions,
        const Tables& tables, const RowPlaces& places, HolderMap* holder_map, AssignedBatchesOptions given)
      : options(std::move(given)),
        turns(range, options.loader, options.batches),
        codec(options.loader.shapes),
        rank(own_comm->rank()),
        rounds_ahead(turns.pieces() + options.loader.ahead),
        map(holder_map),
        sent(own_comm->size()),
        received(own_comm->size()),
        news_sent(own_comm->size()),
        news_received(own_comm->size()),
        end(turns.batches()),
        taken(turns.first()),
        complete(turns.first()),
        settled(turns.first()),
        comm(std::move(own_comm)) {
    check();
    const LoaderOptions& loader_options = options.loader;
    slots.resize(static_cast<size_t>(rounds_ahead + kInUse));
    for (Slot& slot : slots)
      slot.buffer = BatchBuffer(loader_options.shapes, turns.most_samples_of(rank), loader_options.allocate);
    piece_bytes.resize(static_cast<size_t>((turns.most_samples_of(rank) + turns.pieces()) * codec.sample_bytes()));
    turn = turns.first_turn(rank);
    sent_turns = turn.value_or(0);
    if (turn && *turn < turns.batches()) {
      assignment.emplace(loader_options.shapes, tables, places, options.tree, options.assignment, map != nullptr,
                         options.assigner_threads);
      LoaderOptions whole = loader_options;
      whole.rank = 0, whole.ranks = 1, whole.shares.clear();
      whole.first_batch = *turn, whole.every = turns.readers();
      whole.ahead = 1;
      whole.allocate = nullptr;
      loader.emplace(data, range, positions, std::move(whole));
      assigner_thread = std::thread([this] { assign_turns(); });
    }
    exchange_thread = std::thread([this] { exchange_rounds(); });
  }

  ~State() {
    {
      const std::lock_guard lock(mutex);
      closing = true;
      aborted = std::uncaught_exceptions() > exceptions;
    }
    changed.notify_all();
    exchange_thread.join();
    {
      const std::lock_guard lock(mutex);
      stopped = true;
    }
    changed.notify_all();
    if (assigner_thread.joinable()) assigner_thread.join();
  }

  void check() const {
    const LoaderOptions& loader_options = options.loader;
    SPARROW_CHECK(comm->size() == loader_options.ranks && rank == loader_options.rank, "rank {} of {}, not {} of {}",
                  rank, comm->size(), loader_options.rank, loader_options.ranks);
    SPARROW_CHECK(options.tree.ranks() == comm->size());
    SPARROW_CHECK(loader_options.ahead >= 1, "{} batches ahead", loader_options.ahead);
    SPARROW_CHECK(!loader_options.split_data, "whole batches are read where samples are assigned");
    SPARROW_CHECK(options.assignment.delay >= 1, "holders known {} batches before", options.assignment.delay);
    SPARROW_CHECK(turns.first() >= 0 && turns.first() <= turns.batches(), "batch {} of {}", turns.first(),
                  turns.batches());
    // Other ranks of the node may have settled batches meanwhile.
    SPARROW_CHECK(!map || map->version() >= options.first_step, "holders as of step {}, not {}", map->version(),
                  options.first_step);
  }

  int64_t step(int64_t k) const { return options.first_step + k - turns.first(); }
  Slot& slot(int64_t k) { return slots[static_cast<size_t>(k) % slots.size()]; }
  PackedBatch& packed_of(int64_t k) { return packed[static_cast<size_t>((k - *turn) / turns.readers()) % kPacked]; }

  // --- The assignment thread ---

  void assign_turns() noexcept {
    for (int64_t k = *turn; k < turns.batches(); k += turns.readers()) {
      PackedBatch& result = packed_of(k);
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stopped || k < sent_turns + kPacked * turns.readers(); });
        if (stopped) return;
      }
      try {
        result.error.clear();
        if (!assign_turn(k, result)) return;
      } catch (const std::exception& error) {
        result.error = fmt::format("batch {} at rank {}: {}", k, rank, error.what());
      }
      const std::lock_guard lock(mutex);
      packed_turns = k + turns.readers();
      changed.notify_all();
      if (!result.error.empty()) return;
    }
  }

  /// False when the end has come meanwhile.
  bool assign_turn(int64_t k, PackedBatch& result) {
    const Batch* whole = loader->next();
    SPARROW_CHECK(whole != nullptr && whole->index == k && whole->samples == turns.samples(k));
    assignment->find_rows(*whole);
    if (map && !find_holders(k)) return false;
    assignment->assign(turns.quota(k));
    assignment->pack(*whole, codec, turns.pieces(), result);
    return true;
  }

  /// Waits until batches before this one are settled, or the end has come: false.
  bool wait_for_settled(int64_t k) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return stopped || settled >= k; });
    return settled >= k;
  }

  /// Holders as they were after batch k - W.
  bool find_holders(int64_t k) {
    const int64_t known = k - options.assignment.delay;
    if (!wait_for_settled(known + 1)) return false;
    assignment->read_holders(*map);
    // The leader may be ahead of this rank, or be writing: what the map said may be newer than what is settled here, and
    // is told apart once that is settled too. Round k has not been anywhere.
    const int64_t begun = turns.first() + map->begun() - options.first_step;
    if (!wait_for_settled(std::min(begun, k))) return false;
    const std::lock_guard lock(map_mutex);
    newer.clear();
    for (const HolderMap::Recent& recent : map->recent())
      if (recent.step > step(known)) newer.insert(newer.end(), recent.keys.begin(), recent.keys.end());
    assignment->forget_holders(newer);
    return true;
  }

  // --- The exchange thread ---

  void exchange_rounds() noexcept {
    try {
      if (turns.first() == turns.batches()) return;
      for (int64_t round = turns.first(); round < end + turns.pieces(); ++round) {
        {
          std::unique_lock lock(mutex);
          changed.wait(lock, [&] { return closing || round < taken + rounds_ahead; });
          if (aborted || round >= taken + rounds_ahead) return;
        }
        exchange_round(round);
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
      changed.notify_all();
    }
  }

  void exchange_round(int64_t round) {
    const Ticket pieces = post_pieces(round);
    const bool brings_news = round < end;
    bool failed = false;
    if (brings_news) {
      const Header header = exchange_header(round);
      failed = header.failed != 0;
      exchange_news(round, header);
      if (failed)
        error_text.assign(reinterpret_cast<const char*>(news_bytes.data()), news_bytes.size());
      else
        begin_batch(round);
    }
    comm->wait(pieces);
    read_pieces(round);
    finish_round(round, failed);
  }

  /// The batches of which a piece travels in a round: visit(batch, piece).
  template <class Visit>
  void each_piece(int64_t round, Visit&& visit) const {
    for (int piece = 0; piece < turns.pieces(); ++piece) {
      const int64_t k = round - 1 - piece;
      if (k >= turns.first() && k < end) visit(k, piece);
    }
  }
  int64_t bytes_of_piece(int to, int64_t k, int piece) const {
    const int64_t samples = turns.samples_of(to, k);
    return (piece_begin(samples, piece + 1, turns.pieces()) - piece_begin(samples, piece, turns.pieces())) *
           codec.sample_bytes();
  }

  Ticket post_pieces(int64_t round) {
    sent.clear();
    received.clear();
    const std::byte* from = nullptr;
    int64_t at = 0;
    each_piece(round, [&](int64_t k, int piece) {
      const int reader = turns.reader(k);
      received.bytes[reader] = bytes_of_piece(rank, k, piece);
      received.offset[reader] = at;
      at += received.bytes[reader];
      if (reader != rank) return;
      const PackedBatch& mine = packed_of(k);
      from = mine.samples.data();
      int64_t offset = mine.piece_offset[static_cast<size_t>(piece)];
      for (int to = 0; to < comm->size(); ++to) {
        sent.bytes[to] = bytes_of_piece(to, k, piece);
        sent.offset[to] = offset;
        offset += sent.bytes[to];
      }
    });
    return comm->post(
        nullptr, {Phase::samples, from, sent.bytes, sent.offset, piece_bytes.data(), received.bytes, received.offset});
  }

  void read_pieces(int64_t round) {
    each_piece(round, [&](int64_t k, int piece) {
      const int64_t samples = turns.samples_of(rank, k), first = piece_begin(samples, piece, turns.pieces());
      codec.decode(piece_bytes.data() + received.offset[turns.reader(k)],
                   piece_begin(samples, piece + 1, turns.pieces()) - first, slot(k).buffer, first);
    });
  }

  Header exchange_header(int64_t k) {
    Header header;
    const bool mine = turns.reader(k) == rank;
    if (mine) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return aborted || packed_turns > k; });
      if (packed_turns <= k) fail("ended before batch {} was assigned", k);
      const PackedBatch& batch = packed_of(k);
      header.failed = !batch.error.empty();
      header.bytes = static_cast<int64_t>(header.failed ? batch.error.size() : batch.news.size());
    }
    header_sent = header;
    send_to_all(k, &header_sent, sizeof(Header), &header);
    SPARROW_CHECK(header.bytes >= 0 && header.bytes <= most_news_bytes(), "{} bytes of new holders", header.bytes);
    return header;
  }

  /// 10 bytes a lookup are more than any list has; a text may be a little longer than that of small batches.
  int64_t most_news_bytes() const {
    return (options.loader.global_batch * options.loader.shapes.lookups_per_sample() + (1 << 16)) * 10;
  }

  void exchange_news(int64_t k, const Header& header) {
    const void* from = nullptr;
    if (turns.reader(k) == rank) {
      const PackedBatch& batch = packed_of(k);
      from = header.failed ? static_cast<const void*>(batch.error.data()) : batch.news.data();
    }
    news_bytes.resize(static_cast<size_t>(header.bytes));
    send_to_all(k, from, header.bytes, news_bytes.data());
  }

  /// So many bytes from the reader of batch k to every rank, itself as well.
  void send_to_all(int64_t k, const void* from, int64_t bytes, void* to) {
    const int reader = turns.reader(k);
    news_sent.clear();
    news_received.clear();
    if (reader == rank) std::fill(news_sent.bytes.begin(), news_sent.bytes.end(), bytes);
    news_received.bytes[reader] = bytes;
    comm->wait(
        comm->post(nullptr, {Phase::samples, static_cast<const std::byte*>(from), news_sent.bytes, news_sent.offset,
                             static_cast<std::byte*>(to), news_received.bytes, news_received.offset}));
  }

  /// The buffer of batch k, and its new holders.
  void begin_batch(int64_t k) {
    Slot& into = slot(k);
    into.buffer.set_samples(options.loader.shapes, turns.samples_of(rank, k));
    Batch& batch = into.buffer.batch;
    batch.index = k;
    batch.first_sample = k * options.loader.global_batch;
    batch.global_samples = turns.samples(k);
    into.new_rows.clear();
    if (map) {
      decode_new_holders(news_bytes, map->keys(), comm->size(), news);
      {
        const std::lock_guard lock(map_mutex);
        map->settle(step(k), news);
      }
      map->wait_for(step(k), comm->timeout_seconds());
      for (const HolderMap::NewHolder& row : news)  // where that rank is full, or an earlier batch came first: another
        if (map->holder(row.key) == rank) into.new_rows.push_back(row.key);
    }
    batch.new_rows = into.new_rows;
    const std::lock_guard lock(mutex);
    settled = k + 1;
    changed.notify_all();
  }

  void finish_round(int64_t round, bool failed) {
    const std::lock_guard lock(mutex);
    if (failed) end = round;
    const int64_t k = round - turns.pieces();
    if (k >= turns.first()) {
      const Traffic total = comm->traffic();
      slot(k).traffic = total - counted;
      counted = total;
      complete = k + 1;
      if (turns.reader(k) == rank) sent_turns = k + turns.readers();
    }
    changed.notify_all();
  }

  // --- The caller's thread ---

  const Batch* next() {
    std::unique_lock lock(mutex);
    const int64_t k = taken;
    if (k == turns.batches()) return nullptr;
    ++taken;  // gives back the buffer of batch k - 2
    changed.notify_all();
    changed.wait(lock, [&] { return failure || complete > k || end <= k; });
    if (complete <= k) {
      taken = k;  // asking again gives the same error
      if (failure) std::rethrow_exception(failure);
      throw Error(error_text);
    }
    Slot& batch = slot(k);
    lock.unlock();
    if (options.book) options.book(batch.traffic);
    return &batch.buffer.batch;
  }

  const AssignedBatchesOptions options;
  const Turns turns;
  const SampleCodec codec;
  const int rank;
  const int64_t rounds_ahead;  ///< of what is taken
  HolderMap* const map;
  std::mutex
      map_mutex;  ///< what the map keeps for this rank: settled on the exchange thread, read on the assignment one
  const int exceptions = std::uncaught_exceptions();

  // The assignment thread's:
  std::optional<int64_t> turn;  ///< this rank's first
  std::optional<BatchAssignment> assignment;
  std::optional<Loader> loader;
  std::vector<int64_t> newer;  ///< keys of rows that have got holders since those that may be known

  // The exchange thread's:
  Parts sent, received, news_sent, news_received;
  Header header_sent;
  std::vector<std::byte> piece_bytes, news_bytes;
  std::vector<HolderMap::NewHolder> news;
  Traffic counted;

  // Handed over:
  std::vector<Slot> slots;      ///< batch k is in slot k mod (rounds ahead + in use)
  PackedBatch packed[kPacked];  ///< of this rank's turns in turn
  std::mutex mutex;
  std::condition_variable changed;
  int64_t end;                                                 ///< batches that there are, up to one that failed
  int64_t taken;                                               ///< batches before this were given out
  int64_t complete;                                            ///< batches before this have all their samples
  int64_t settled;                                             ///< batches before this are in the map
  int64_t packed_turns = std::numeric_limits<int64_t>::min();  ///< turns before this are assigned
  int64_t sent_turns = 0;                                      ///< turns before this are sent
  bool closing = false, aborted = false, stopped = false;
  std::exception_ptr failure;  ///< of an exchange
  std::string error_text;      ///< of the batch `end`

  std::unique_ptr<Comm> comm;
  std::thread assigner_thread, exchange_thread;
};

AssignedBatches::AssignedBatches(std::unique_ptr<Comm> comm, const Dataset& data, SampleRange range,
                                 const PositionMap& positions, const Tables& tables, const RowPlaces& places,
                                 HolderMap* map, AssignedBatchesOptions options)
    : state_(
          std::make_unique<State>(std::move(comm), data, range, positions, tables, places, map, std::move(options))) {}

AssignedBatches::~AssignedBatches() = default;

const Batch* AssignedBatches::next() {
  return state_->next();
}

int64_t AssignedBatches::settled_ahead(const LoaderOptions& loader) {
  return Turns({0, 0}, loader, 0).pieces() + loader.ahead + 1;
}

int64_t AssignedBatches::memory_bytes(const AssignedBatchesOptions& options) {
  const LoaderOptions& loader = options.loader;
  const TableShapes& shapes = loader.shapes;
  const Turns turns({0, 2 * loader.global_batch}, loader, 2);
  const SampleCodec codec(shapes);
  const int64_t own = turns.most_samples_of(loader.rank) + 1;  // a short batch may round the other way
  const int64_t lookups = shapes.lookups_per_sample(), of_batch = loader.global_batch * lookups;
  int64_t bytes = (turns.pieces() + loader.ahead + kInUse) *
                  (BatchBuffer::bytes(shapes, own) + 2 * own * lookups * static_cast<int64_t>(sizeof(int64_t)));
  bytes += (own + turns.pieces()) * codec.sample_bytes();
  bytes += 2 * of_batch * static_cast<int64_t>(sizeof(HolderMap::NewHolder)) + of_batch * 5;
  if (!turns.first_turn(loader.rank)) return bytes;
  return bytes + (1 + kInUse) * BatchBuffer::bytes(shapes, loader.global_batch) +
         kPacked * (loader.global_batch * codec.sample_bytes() + 2 * of_batch * 5) +
         BatchAssignment::bytes(shapes, loader.global_batch);
}

}  // namespace sparrow
