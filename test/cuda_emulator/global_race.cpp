// Races in global memory: for each 4-byte word (for each byte of it once narrower accesses occur) the last writer and
// the last two readers of this launch. Runs on one host thread: run_grid sees to that.
#include <algorithm>
#include <memory>
#include <unordered_map>

#include "races.hpp"

namespace sparrow::emulator {
namespace {

struct Access {
  int64_t thread = -1;  ///< within the grid
  uint32_t epoch = 0, sync_epoch = 0;
  int line = 0;
  bool strong = false;
  uint64_t time = 0;
};

struct Word {
  Access writer, reader, other_reader;
  std::unique_ptr<Word[]> bytes;
};

constexpr uint64_t kPageWords = 1024;
struct Page {
  Word words[kPageWords];
};

struct State {
  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages;
  uint64_t last_number = kNowhere;
  Page* last_page = nullptr;
  uint64_t now = 1;
  std::vector<uint64_t> fence_of_block;  ///< when it last executed one
};

State& state() {
  static State instance;
  return instance;
}

void touch(Context& context, Word& word, int lane, uint64_t address, bool writes, bool strong) {
  const Block& block = *context.block;
  const auto threads = static_cast<int64_t>(context.launch->block_threads());
  State& s = state();
  Access own;
  own.thread = static_cast<int64_t>(block.linear) * threads + context.warp->id * kLanes + lane;
  own.epoch = block.epoch;
  own.sync_epoch = context.warp->sync_epoch;
  own.line = context.instruction->source->line;
  own.strong = strong;
  own.time = ++s.now;

  const auto unordered = [&](const Access& other) {
    if (other.thread < 0 || other.thread == own.thread || (strong && other.strong)) return false;
    const auto other_block = static_cast<uint64_t>(other.thread / threads);
    if (other_block != block.linear) {
      return !(s.fence_of_block[other_block] > other.time && s.fence_of_block[block.linear] > other.time);
    }
    if (other.epoch != block.epoch) return false;
    const bool same_warp = other.thread % threads / kLanes == static_cast<int64_t>(context.warp->id);
    return !same_warp || other.sync_epoch == context.warp->sync_epoch;
  };
  const auto check = [&](const char* kind, const Access& other) {
    if (unordered(other))
      report_race(context, kind, "global", lane, address, static_cast<uint64_t>(other.thread), other.line);
  };
  check(writes ? "write after write" : "read after write", word.writer);
  if (writes) {
    check("write after read", word.reader);
    check("write after read", word.other_reader);
    word.writer = own;
  } else {
    if (word.reader.thread >= 0 && word.reader.thread != own.thread) word.other_reader = word.reader;
    word.reader = own;
  }
}

Word& word_at(uint64_t address) {
  State& s = state();
  const uint64_t number = address / (4 * kPageWords);
  if (number != s.last_number) {
    std::unique_ptr<Page>& page = s.pages[number];
    if (!page) page = std::make_unique<Page>();
    s.last_page = page.get();
    s.last_number = number;
  }
  return s.last_page->words[address / 4 % kPageWords];
}

}  // namespace

void start_global_race_check(const Launch& launch) {
  State& s = state();
  s.pages.clear();
  s.last_number = kNowhere;
  s.now = 1;
  s.fence_of_block.assign(launch.blocks(), 0);
}

void note_fence(Context& context) {
  State& s = state();
  s.fence_of_block[context.block->linear] = ++s.now;
}

void note_global_access(Context& context, int lane, uint64_t address, int bytes, bool writes, bool strong) {
  while (bytes > 0) {
    Word& word = word_at(address);
    const int first = static_cast<int>(address % 4), count = std::min(bytes, 4 - first);
    if (count == 4 && !word.bytes) {
      touch(context, word, lane, address, writes, strong);
    } else {
      if (!word.bytes) {
        word.bytes = std::make_unique<Word[]>(4);
        for (int b = 0; b < 4; ++b) {
          word.bytes[b].writer = word.writer;
          word.bytes[b].reader = word.reader;
          word.bytes[b].other_reader = word.other_reader;
        }
      }
      for (int b = 0; b < count; ++b)
        touch(context, word.bytes[first + b], lane, address + static_cast<uint64_t>(b), writes, strong);
    }
    address += static_cast<uint64_t>(count);
    bytes -= count;
  }
}

}  // namespace sparrow::emulator
