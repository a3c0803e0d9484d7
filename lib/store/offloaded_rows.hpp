// Rows beyond the budget of device memory, in a slower store of the rank: a file on disk (FileRows) where device memory
// is the host's, pinned host memory that kernels read and write in place (PinnedRows) where it is not. A row is `dim`
// values and `state_dim` values of optimiser state, kept together, in slots 0 .. slots() - 1.
//
// A batch that touches such rows goes through a OffloadedBatch:
//
//   start   names the rows: reading begins and goes on in the background
//   load    waits for the reads; from then on rows() holds the rows' values and state, to be read and updated there
//   finish  the batch is done with them: what was updated goes back, in the background
//
// Reading ahead. Several batches may be between start and finish, in the order of their steps. A row that the step
// before updates as well is loaded after that batch has finished and then has its updated values, although both were
// read long before: such *dirty* rows never wait for the disk. Example, two batches:
//
//   a.start({3, 7})  a.load(all)  b.start({7, 9})     while a computes, row 9 is read; row 7 is there already
//   b.load({9})                                       clean: a does not touch it
//   update of rows 3 7 in a.rows();  a.finish()       3 and 7 are written back while b computes
//   b.load({7})                                       dirty: with a's update
//
// Left out: which rows live here (Directory), and when to read ahead (the trainer).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "kernels/backend.hpp"

namespace sparrow {

/// What a store has moved so far.
struct StoreTraffic {
  int64_t read_bytes = 0, written_bytes = 0;
  StoreTraffic operator-(const StoreTraffic& before) const {
    return {read_bytes - before.read_bytes, written_bytes - before.written_bytes};
  }
};

/// The offloaded rows of one batch. Made once and used for batch after batch; its memory grows to the largest of them.
/// Calls throw Error naming file, offset and reason when the store cannot be read or written; it must not be used then.
class OffloadedBatch {
 public:
  virtual ~OffloadedBatch() = default;

  /// Returns at once. slots: ascending, all different. Must follow finish, or be the first call.
  virtual void start(std::span<const int64_t> slots) = 0;
  /// Waits until the rows numbered places[0 ..] in start's list can be read and updated in rows(). Each row is loaded
  /// once, and after every batch that was started before and updates it has passed it on or finished.
  virtual void load(std::span<const int32_t> places) = 0;
  /// All rows of the list.
  virtual void load() = 0;
  /// Rows that a batch started later uses too are final: it may load them as they are in rows() now, before this batch
  /// is finished. All rows must be loaded.
  virtual void pass_on() = 0;
  /// Ends the batch. updated: rows may have changed since they were loaded (all of them must be loaded) and go back.
  /// May wait for the reads and, to bound the memory, for the writes of the batch before.
  virtual void finish(bool updated) = 0;

  /// Where the rows are: row i of start's list is slot slot_of(i) of rows(). Valid after start, until the next.
  virtual RowStore rows() const = 0;
  virtual int64_t slot_of(int64_t i) const = 0;
};

class OffloadedRows {
 public:
  virtual ~OffloadedRows() = default;

  virtual int64_t slots() const = 0;
  virtual std::unique_ptr<OffloadedBatch> make_batch() = 0;

  /// Writes rows first .. first + n - 1: values (n, dim) and state (n, state_dim), both in host memory; state null
  /// keeps the state that is there. For filling the store: streams, whatever its size. No batch may be under way.
  virtual void write(int64_t first, int64_t n, const float* values, const float* state) = 0;

  /// Waits until everything given back so far is written.
  virtual void drain() = 0;
  virtual StoreTraffic traffic() const = 0;
  /// Host memory for rows of batches and for blocks on their way, now. What is mapped for kernels is not counted.
  virtual int64_t buffer_bytes() const = 0;
};

/// Where a rank keeps rows beyond its device memory.
struct OffloadOptions {
  std::string folder;  ///< for the file, where device memory is the host's
};

/// The slower store that fits the backend, for `slots` rows; contents undefined. Throws Error naming what is needed and
/// what is free when it does not fit.
std::unique_ptr<OffloadedRows> make_offloaded_rows(Backend& backend, int64_t slots, int64_t dim, int64_t state_dim,
                                                   const OffloadOptions& options);

}  // namespace sparrow
