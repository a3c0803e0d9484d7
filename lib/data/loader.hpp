// Delivers this rank's part of every global batch, read and parsed ahead of use on a thread of its own.
//
// The stream: batch k of a pass holds samples k*B .. k*B + B - 1 of the range (the last may be short), whatever the
// number of ranks; rank r's part is part_of_batch() of it. With a shuffle window W, sample i of the stream is sample
// p(i) of the range, where p permutes each window of W samples; p depends on (seed, epoch, window) alone.
//
// Example: range of 5 samples, B = 4, 2 ranks: rank 0 gets {0, 1}, then {} ; rank 1 gets {2, 3}, then {4}.
//
// Where ranks read whole batches in turn (assign/assigned_batches.hpp), each is rank 0 of 1, and first_batch and every
// say which batches are its.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/batch_buffer.hpp"
#include "data/batch_source.hpp"
#include "data/dataset.hpp"
#include "data/position_map.hpp"
#include "data/vocabulary.hpp"

namespace sparrow {

struct LoaderOptions {
  TableShapes shapes;           ///< rows must be those of the position map
  int64_t global_batch = 4096;  ///< B, samples over all ranks
  int rank = 0;
  int ranks = 1;
  std::vector<double> shares;  ///< one per rank (part_of_batch); empty: equal
  int64_t first_batch = 0;     ///< k to begin with (resume)
  int64_t every = 1;           ///< batches first_batch, first_batch + every, ... alone: those of one rank's turns
  bool split_data = false;     ///< a rank's samples are those of part_of_data(), not a part of each B samples
  int64_t shuffle_window = 0;  ///< samples; 0: the order of the files. Not together with split_data
  uint64_t seed = 1;
  int64_t epoch = 0;
  int ahead = 4;          ///< batches read ahead of those in use
  BufferMemory allocate;  ///< for the buffers, all of it asked for in the constructor
};

class Loader : public BatchSource {
 public:
  /// `data` and `positions` must outlive the loader. Starts reading at once. Throws Error for options that make no
  /// sense.
  Loader(const Dataset& data, SampleRange range, const PositionMap& positions, LoaderOptions options);
  /// Ends the thread, also in the middle of a pass, without waiting for more than the piece it is reading.
  ~Loader() override;

  const Batch* next() override;

  /// Global batches in the pass.
  int64_t batches() const;
  /// Seconds next() has waited so far: 0 where reading never held a step up.
  double waited_seconds() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sparrow
