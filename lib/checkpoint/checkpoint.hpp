// Checkpoints: all of a model's state, independent of ranks, placement and backend.
//
//   DIR/checkpoints/samples_000000262144/
//     dense.safetensors                      dense parameters by name (bot_l.0.weight, ...), and state.NAME where the
//                                            optimiser has state
//     table_00/rows_0000000000.safetensors   "values" (n, dim) and "state" (n, state_dim) of ids first .. first + n - 1
//     holders/                               who holds rows by first use (holder_files.hpp), if they are
//     replanning/                            what depends on ranks and plans (run/replanner.hpp), if it re-plans
//     index.json                             version, progress, shapes; written last: a folder without it is none
//
// Row files hold fixed ranges of ids; each is written by one rank, which fetches the rows from their holders like any
// batch. model_loading.hpp reads them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "checkpoint/checkpoint_files.hpp"
#include "train/trainer.hpp"

namespace sparrow {

/// Collective. Writes the state of `trainer` into a new folder below `dir`, then removes the oldest ones beyond `keep`.
/// Throws Error on all ranks alike, naming what could not be written, when any rank fails; nothing earlier is lost
/// then, and nothing of the new folder stays. Removes what earlier runs left unfinished. save_more is called by every
/// rank with the folder, to write files of its own before the checkpoint is whole.
void save_checkpoint(Comm& comm, Trainer& trainer, const Store::IdOfPosition& position_of_id,
                     const RunPosition& position, const std::string& dir, int keep,
                     const std::function<void(const std::string& folder)>& save_more = {});

/// The newest whole checkpoint below `dir`, if any.
std::optional<std::string> newest_checkpoint(const std::string& dir);

}  // namespace sparrow
