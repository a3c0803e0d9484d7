// The phases of a training step: one list for bytes sent, seconds measured and seconds modelled, so that they stand side by side.
#pragma once

#include <cstdint>

namespace sparrow {

enum class Phase : uint8_t {
  data,       ///< waiting for the loader
  ids,        ///< distinct rows are found, and requested from other ranks
  store,      ///< a slower store is read and written
  rows,       ///< rows are gathered and sent to the ranks that look them up
  compute,    ///< forward and backward pass
  gradients,  ///< gradients of rows are sent back and summed
  samples,    ///< samples are sent to other ranks
  allreduce,  ///< sums over the copies of rows and of dense parameters
  update,     ///< the optimiser
  waiting,    ///< one lane waits for the other
  control,    ///< outside the step: start-up, evaluation, reports
};
constexpr int kPhases = 11;
const char* phase_name(Phase phase);

/// In which a step sends, in which it spends time, and of these the ones that the cost model knows.
constexpr Phase kSendingPhases[] = {Phase::ids, Phase::rows, Phase::gradients, Phase::samples, Phase::allreduce};
constexpr Phase kTimedPhases[] = {Phase::data,      Phase::ids,       Phase::store,  Phase::rows,   Phase::compute,
                                  Phase::gradients, Phase::allreduce, Phase::update, Phase::waiting};
constexpr Phase kModelledPhases[] = {Phase::ids,       Phase::store,   Phase::rows,      Phase::compute,
                                     Phase::gradients, Phase::samples, Phase::allreduce, Phase::update};

}  // namespace sparrow
