#include "train/memory_plan.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "comm/collectives.hpp"
#include "exchange/migration.hpp"
#include "kernels/counting_backend.hpp"
#include "train/row_reader.hpp"
#include "train/trainer.hpp"

namespace sparrow {

namespace {

/// A communicator of nobody but the caller, who says who the others would be: what is made with it sends nothing.
class SilentComm final : public Comm {
 public:
  SilentComm(int rank, int size) : rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  Ticket post(Stream*, const AllToAll&) override { fail("nobody is there to talk to"); }
  void wait(Ticket) override {}
  std::unique_ptr<Comm> split(int, int) override { fail("nobody is there to say who is in which part"); }
  std::unique_ptr<Comm> group(std::span<const int> members) override {
    if (members.empty()) return nullptr;
    const auto me = std::find(members.begin(), members.end(), rank_) - members.begin();
    return std::make_unique<SilentComm>(static_cast<int>(me), static_cast<int>(members.size()));
  }
  const Traffic& traffic() const override { return traffic_; }
  double timeout_seconds() const override { return 0; }
  std::string name() const override { return "silent"; }

 private:
  int rank_, size_;
  Traffic traffic_;
};

}  // namespace

MemoryPlan plan_memory(Backend& backend, const Directory& directory, const TrainerOptions& options) {
  MemoryPlan plan;
  if (backend.device_is_host()) return plan;
  plan.budget = backend.free_memory();
  CountingBackend counting(backend);
  SilentComm nobody(directory.rank(), directory.hierarchy().ranks());
  Directory same_room(directory.tables(), directory.hierarchy(), directory.plan(), directory.rank(), directory.room(),
                      {directory.holder_map(), 0, directory.guests()});
  Trainer trainer({counting, counting, nobody, nobody}, std::move(same_room), {}, options, nullptr);
  Migration::Buffers moved(counting, trainer.store().rows());
  moved.reserve(options.most_moved);
  plan.needs = counting.used_memory();
  const RowReader reader(trainer);
  plan.needs.add(MemoryPart::checkpoint, counting.used_memory().total() - plan.needs.total());
  // What filling the rows took, before there were the exchange's buffers: only what it takes beyond them counts.
  plan.needs.add(MemoryPart::other, counting.most_memory() - plan.needs.total());
  return plan;
}

std::string describe(const MemoryByPart& needs, int64_t budget) {
  std::string text;
  const auto line = [&](const char* name, int64_t bytes) {
    text += fmt::format("  {:<26}{:>16} bytes {:>10.1f} MiB\n", name, bytes, static_cast<double>(bytes) / (1 << 20));
  };
  for (int p = 0; p < kMemoryParts; ++p) {
    const auto part = static_cast<MemoryPart>(p);
    if (needs.of(part) > 0) line(memory_part_name(part), needs.of(part));
  }
  line("total, at most", needs.total());
  line("device memory", budget);
  return text;
}

MemoryLack lack_of_memory(Comm& comm, const MemoryByPart& needs, int64_t budget) {
  const std::vector<int64_t> lacking = all_gather(comm, needs.total() - budget);
  const auto worst = std::max_element(lacking.begin(), lacking.end());
  const auto rank = static_cast<int>(worst - lacking.begin());
  MemoryLack lack{std::max<int64_t>(0, *worst), {}};
  if (lack.bytes > 0)
    lack.why = fmt::format("rank {} lacks {} bytes of device memory (system.device_memory):\n{}", rank, lack.bytes,
                           broadcast_string(comm, describe(needs, budget), rank));
  return lack;
}

}  // namespace sparrow
