// Where a rank's parts of global batches come from.
#pragma once

#include "data/batch.hpp"

namespace sparrow {

class BatchSource {
 public:
  BatchSource() = default;
  BatchSource(const BatchSource&) = delete;
  BatchSource& operator=(const BatchSource&) = delete;
  virtual ~BatchSource() = default;

  /// The next batch, valid until the next call but one of next(); nullptr after the last. Waits if it is not ready.
  /// Throws what went wrong in making it, once the batches before it are delivered.
  virtual const Batch* next() = 0;
};

}  // namespace sparrow
