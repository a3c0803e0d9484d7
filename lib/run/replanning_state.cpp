#include "run/replanning_state.hpp"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/text_file.hpp"
#include "config/plan_file.hpp"

namespace sparrow {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

std::string counts_path(const std::string& folder, int rank) {
  return fmt::format("{}/counts_{:05}.bin", folder, rank);
}

MigrationState read_move(const std::string& path) {
  const json move = json::parse(read_text_file(path), nullptr, false);
  const auto number = [&](const char* key, int64_t least) {
    if (!move.is_object() || !move.contains(key) || !move[key].is_number_integer() || move[key].get<int64_t>() < least)
      fail("{}: {} is missing or not a number of at least {}", path, key, least);
    return move[key].get<int64_t>();
  };
  constexpr int64_t kMostSlices = 1 << 20;
  if (number("slices", 1) > kMostSlices) fail("{}: {} slices", path, number("slices", 1));
  return {number("copies_per_move", 1), static_cast<int>(number("slices", 1)), number("done", 0)};
}

}  // namespace

std::string saved_plan_path(const std::string& folder) {
  return folder + "/plan.json";
}

void save_replanning(const std::string& folder, const SystemShape& system, int rank, const Replanner& replanner,
                     const placement::Plan& settled, const Trainer& trainer) {
  fs::create_directories(folder);
  write_text_file(counts_path(folder, rank), replanner.counter().serialize());
  if (rank != 0) return;
  save_plan(saved_plan_path(folder), settled, system.topology);
  if (!trainer.migration()) return;
  const MigrationState& state = trainer.migration()->state();
  save_plan(folder + "/next_plan.json", replanner.plan(), system.topology);
  write_text_file(
      folder + "/move.json",
      json{{"copies_per_move", state.copies_per_move}, {"slices", state.slices}, {"done", state.done}}.dump(2));
}

void load_replanning(const std::string& folder, const SystemShape& system, int rank, Replanner& replanner,
                     Trainer& trainer) {
  replanner.counter().restore(read_text_file(counts_path(folder, rank)));
  const std::string next = folder + "/next_plan.json";
  if (!fs::exists(next)) return;
  placement::Plan plan = load_plan(next, system.topology);
  trainer.continue_migration(copy_plan(plan, system), read_move(folder + "/move.json"));
  replanner.set_plan(std::move(plan));
}

}  // namespace sparrow
