// Races in shared memory: for each byte its last writer and its last two readers, with the epochs in which they came.
#include "races.hpp"

namespace sparrow::emulator {

void note_shared_access(Context& context, int lane, uint64_t address, int bytes, bool writes, bool atomic) {
  Block& block = *context.block;
  if (block.accesses.empty()) block.accesses.resize(kDynamicShared + context.launch->dynamic_shared + 64);
  if (atomic) return;
  const int warp = static_cast<int>(context.warp->id), thread = warp * kLanes + lane;
  const int line = context.instruction->source->line;
  const uint64_t first_thread = block.linear * context.launch->block_threads();

  // Whether an earlier access of `other`, made in these epochs, may as well have come later.
  const auto unordered = [&](int other, uint32_t epoch, uint32_t sync_epoch) {
    return other >= 0 && other != thread && epoch == block.epoch &&
           !(other / kLanes == warp && sync_epoch != context.warp->sync_epoch);
  };
  const auto report = [&](const char* kind, int other, int other_line) {
    report_race(context, kind, "shared", lane, address, first_thread + static_cast<uint64_t>(other), other_line);
  };
  for (int byte = 0; byte < bytes; ++byte) {
    SharedAccess& a = block.accesses[address + static_cast<uint64_t>(byte)];
    if (unordered(a.writer, a.write_epoch, a.write_sync)) {
      report(writes ? "write after write without a barrier" : "read after write without a barrier", a.writer,
             a.write_line);
    }
    if (writes) {
      for (const int reader : {a.reader, a.other_reader}) {
        if (unordered(reader, a.read_epoch, a.read_sync))
          report("write after read without a barrier", reader, a.read_line);
      }
      a.writer = thread;
      a.write_epoch = block.epoch;
      a.write_sync = context.warp->sync_epoch;
      a.write_line = line;
    } else {
      a.other_reader = a.reader >= 0 && a.reader != thread && a.read_epoch == block.epoch ? a.reader : -1;
      a.reader = thread;
      a.read_epoch = block.epoch;
      a.read_sync = context.warp->sync_epoch;
      a.read_line = line;
    }
  }
}

}  // namespace sparrow::emulator
