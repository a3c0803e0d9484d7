// Who holds the rows of a checkpoint by first use (layout/holder_map.hpp), as of the step that was saved: what batches
// that were settled ahead of it brought is left out.
//
//   holders/
//     table_TT.bin    a number per id, little endian, 1 byte, or 2 beyond 254 ranks: 0: nobody has used the row;
//                     n: rank n - 1 holds it; all bits set: it was not for the map to say (several copies, offloaded)
//     recent_TT.bin   (step, id), int64 each, by id: rows that got holders in the last steps before, which a batch that
//                     is assigned by older knowledge must not know of
//     index.json      format, version, bytes of a number, and most rows of each rank
//
// On as many ranks, that most of each rank is taken over where there is room, so that a continued run finds a rank full
// where the whole one does. On another number of ranks holder h of N is rank floor(h N' / N), or the next that has room.
#pragma once

#include <string>

#include "comm/comm.hpp"
#include "store/store.hpp"
#include "train/trainer.hpp"

namespace sparrow {

/// This rank's part: called by all ranks, who then wait for each other, after drain(). Nothing where no row is mapped.
/// Throws Error naming the file that cannot be written.
void save_holders(Comm& comm, const Trainer& trainer, const Store::IdOfPosition& position_of_id, int64_t steps,
                  const std::string& folder);

/// Collective, before the trainer's rows come, when its map is as it was made: holders are those of the checkpoint, as of
/// step `steps`. Mapped rows that the checkpoint says nothing of, and all rows where it has no holders, are placed by
/// arithmetic. Nothing where no row is mapped. Throws Error for files that contradict themselves or the model.
void load_holders(Comm& comm, const Trainer& trainer, const Store::IdOfPosition& id_of_position, int64_t steps,
                  const std::string& folder);

/// The same without a checkpoint: every mapped row is where arithmetic places it.
void place_all_holders(Comm& comm, const Trainer& trainer);

}  // namespace sparrow
