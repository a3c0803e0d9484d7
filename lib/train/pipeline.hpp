// What overlaps what. A rank works in two lanes: the trainer computes on the caller's thread (the compute lane), and
// rows and their gradients are exchanged on a thread and a stream of their own (the exchange lane). While batch k
// computes, the exchange lane
//
//   finishes k - 1   gradients of rows that batch k does not use (clean): sums, exchange, update
//   looks ahead      ids of k + 1, and which rows both k and k + 1 use (dirty)
//   fetches          rows of k + 1 that k does not update (clean)
//
// and when the gradients of k's bags exist, beside what no row waits for (the gradients of the dense parameters, their
// reduction and update, the bottom MLP of k + 1),
//
//   returns          gradients of rows that k + 1 uses too (dirty), those of rows with several copies; updates
//   fetches          the dirty rows of k + 1, updated; then k + 1 may begin
//
//   compute   | rest of forward k, backward to bags | parameters' gradients, all-reduce, update, bottom k + 1 | ...
//   exchange  | clean gradients k-1 | ids k+1 | clean rows k+1 | dirty gradients k | update | dirty rows k+1 | ...
//
// so that T = max(compute to bags, clean gradients + ids + clean rows) + max(dirty gradients + update + dirty rows, the
// rest of compute and the dense reduction). Exact: a clean row has every update up to k - 1 when it is sent and k does not touch it; a dirty one is
// sent behind its update; and each row's gradient is summed whole, in the order of the sequential step, so both give
// the same bits. Without a next batch all gradients are dirty. The sequential pipeline is that, on the caller's
// thread.
//
// Where the host waits for the device, if that has a memory and streams of its own:
//
//   compute lane   once a step, for the loss (Trainer::step): what it returns, and a sign that inputs were read
//   exchange lane  once a step, before it builds the next route: the lists of the step before must have been uploaded
//                  before the host fills them again. By then only the row fetch of that step can be unfinished
//
// Nothing waits within a step: who sends how much to whom is exchanged on the host, a batch ahead, and everything else
// is ordered by events. The sequential step also waits behind each of its parts, so that the ledger books time where it
// is spent; it is the reference, not the fast one.
//
// Errors of the exchange lane are thrown by the next call here, and again by every later one.
#pragma once

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "data/batch.hpp"
#include "exchange/embedding_exchange.hpp"
#include "train/ledger.hpp"

namespace sparrow {

class Pipeline {
 public:
  /// Everything passed by reference must outlive it. No one else may use `exchange` and `comms` while a step is under
  /// way, which is from begin() until wait().
  Pipeline(const RankContext& context, EmbeddingExchange& exchange, const StageComms& comms, Ledger& ledger,
           bool overlapped);
  /// Ends the thread: waits until the exchange under way is over, which may take as long as the communicators' time-out
  /// where other ranks have failed.
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Takes the device memory that any batch within the bounds needs, for the plan in force.
  void reserve(const ExchangeBounds& bounds);

  /// Collective. Begins the step of a batch, whose rows `stream` may read from here on: those that it announced as
  /// `next`, or any where none was announced. next: the batch of the following call, or null; both must stay alive
  /// until release(). update: of embedding rows, in this step.
  const BatchRoute& begin(Stream& stream, const Batch& batch, const Batch* next, const OptimizerStep& update);
  /// Before the bag gradients of the step before are overwritten.
  void before_backward(Stream& stream);
  /// The gradients of the batch's bags are on `stream`; they stay as they are until before_backward of the next step.
  void give_gradients(Stream& stream, const Matrix& bag_gradients);
  /// Waits until announced batches are no longer read.
  void release() noexcept;

  /// Collective: the rows of a batch that is not trained on, valid until the next call.
  const BatchRoute& fetch(Stream& stream, const Batch& batch);
  /// After the operations on them.
  void finish_fetch();

  /// Waits for the exchange lane; books what it did.
  void wait();
  /// Collective: completes the model: wait(), then clean gradients. What was fetched for the next batch stays valid.
  void drain();
  /// Collective: drain(), and drops what was fetched for the announced batch: before rows are written or move.
  void forget();
  /// Whether drain() would do nothing.
  bool drained() const;

 private:
  /// How far the exchange lane is in a step; rest: what it did is settled.
  enum class Progress : uint8_t { posted, summed, looked_ahead, done, rest };
  struct Step {
    const Batch* next = nullptr;  ///< not read beyond Progress::looked_ahead
    OptimizerStep update;
    Matrix bag_gradients;
    bool gradients_given = false;
  };

  void run() noexcept;
  bool exchange_step();
  void fetch_now(const Batch& batch, BatchRoute& route, bool training);
  void finish_clean();
  void look_ahead(const Batch& next);
  void exchange_dirty(bool has_next);
  void update_rows(const OptimizerStep& step);
  void count_store();
  /// Books on the lane's ledger what the exchange sends while the result lives.
  auto counted_traffic() {
    return CountedTraffic(lane_ledger_, traffic_before_,
                          [this](int stage) { return comms_.traffic(stage) + exchange_.stage_traffic(stage); });
  }
  void reach(Progress progress);
  bool wait_for_gradients();
  void await(Progress progress);
  BatchRoute& now() { return *routes_[now_]; }
  BatchRoute& other() { return *routes_[1 - now_]; }
  /// Between steps, once drained: the one that has nothing to keep.
  BatchRoute& idle() { return announced_ ? other() : now(); }

  Backend& backend_;
  EmbeddingExchange& exchange_;
  const StageComms& comms_;
  Ledger& ledger_;
  const bool overlapped_;
  std::unique_ptr<Stream> stream_;  ///< of the exchange lane
  std::unique_ptr<Event> given_event_, summed_event_, rows_event_;
  std::unique_ptr<BatchRoute> routes_[2];  ///< of the batch of this step, and of its neighbours in turn
  size_t now_ = 0;
  struct Announced {
    const int64_t* positions = nullptr;
    int64_t index = -1;
  };
  std::optional<Announced> announced_;  ///< the batch whose rows route now() has
  bool clean_left_ = false;             ///< other() has clean gradients that are not returned yet
  Step clean_step_;
  Timer since_begin_, since_given_;
  bool dense_timed_ = false;  ///< since_given_ runs
  // Used by the lane that exchanges:
  Ledger lane_ledger_, unbooked_;
  Ledger* book_ = &lane_ledger_;
  std::vector<Traffic> traffic_before_;
  StoreTraffic store_counted_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Step step_;
  Progress progress_ = Progress::rest;
  std::exception_ptr error_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace sparrow
