// Checkpoints: exact over any numbers of ranks, whole or absent, and not trusted when read.
#include "checkpoint/checkpoint.hpp"

#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "base/error.hpp"
#include "checkpoint/model_loading.hpp"
#include "checkpoint/safetensors.hpp"
#include "test/data/support.hpp"
#include "test/support/hierarchies.hpp"
#include "test/support/thread_comm.hpp"
#include "test/train/training_case.hpp"

using namespace sparrow;
using namespace sparrow::test;
namespace fs = std::filesystem;

namespace {

/// Trains `steps` steps on this many ranks and saves; returns the state saved.
ModelState train_and_save(const TrainingCase& problem, int ranks, int64_t steps, const std::string& dir, int keep = 2) {
  ModelState state = empty_state(problem);
  run_ranks(ranks, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    for (int64_t k = 0; k < steps; ++k) trainer.step(k);
    trainer.read_state(state);
    save_checkpoint(comm, *trainer, trainer.position_of(), {steps, steps * problem.global_batch}, dir, keep);
  });
  return state;
}

/// What a fresh trainer of this many ranks has after loading.
ModelState loaded(TrainingCase problem, int ranks, const std::string& path, bool weights_alone = false) {
  problem.seed += 1;  // so that nothing is right by chance
  ModelState state = empty_state(problem);
  run_ranks(ranks, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    if (weights_alone)
      load_weights(*trainer, trainer.id_of(), path);
    else
      load_checkpoint(*trainer, trainer.id_of(), path);
    trainer.read_state(state);
  });
  return state;
}

std::vector<TrainingCase> cases_of_every_optimiser() {
  return {with_sgd({}, 0.1), with_adagrad({}, OptimizerKind::adagrad),
          with_adagrad({}, OptimizerKind::rowwise_adagrad)};
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

/// No file of this process may grow beyond so many bytes while this lives: how a full disk is played.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

}  // namespace

TEST_CASE("ACheckpointIsExactWhateverTheNumbersOfRanks") {
  for (const TrainingCase& problem : cases_of_every_optimiser())
    for (const int writers : {1, 2, 3, 7}) {
      const TempFolder folder;
      const ModelState saved = train_and_save(problem, writers, 3, folder.path());
      const std::string path = newest_checkpoint(folder.path()).value();
      for (const int readers : {1, 2, 4, 7}) {
        INFO(writers << " ranks wrote, " << readers << " read");
        CHECK(loaded(problem, readers, path) == saved);
      }
    }
}

TEST_CASE("ACheckpointIsExactWhereRowsAreOnDisk") {
  std::mt19937 random(8);
  for (const TrainingCase& in_memory : cases_of_every_optimiser())
    for (const int ranks : {1, 3}) {
      const TempFolder folder;
      TrainingCase problem = in_memory;
      const Tables tables(problem.rows, problem.model.embedding_dim);
      problem.hierarchy = Hierarchy::flat(ranks);
      problem.plan = random_plan(tables, *problem.hierarchy, problem.hierarchy->depth(), random, true);
      const ModelState saved = train_and_save(problem, ranks, 3, folder.path());
      const std::string path = newest_checkpoint(folder.path()).value();
      CHECK(loaded(problem, ranks, path) == saved);
      CHECK(loaded(in_memory, 2, path) == saved);
      CHECK(loaded(problem, ranks, path, true).values == saved.values);
    }
}

TEST_CASE("ACheckpointHasTheSameBytesWhoeverWritesIt") {
  const TrainingCase problem;
  const TempFolder one, seven;
  train_and_save(problem, 1, 0, one.path());
  train_and_save(problem, 7, 0, seven.path());
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(one.path())) {
    if (!entry.is_regular_file()) continue;
    const std::string name = fs::relative(entry.path(), one.path()).string();
    CHECK(read_file(one / name) == read_file(seven / name));
    ++files;
  }
  CHECK(files == 2 + static_cast<int>(problem.rows.size()));
}

TEST_CASE("TheProgressIsSavedWithTheModel") {
  const TempFolder folder;
  const TrainingCase problem;
  train_and_save(problem, 2, 5, folder.path());
  run_ranks(3, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    const RunPosition position =
        load_checkpoint(*trainer, trainer.id_of(), newest_checkpoint(folder.path()).value_or(""));
    if (position.steps != 5 || position.samples != 5 * problem.global_batch)
      fail("step {}, {} samples", position.steps, position.samples);
  });
}

TEST_CASE("WeightsAloneLeaveTheOptimiserStateFresh") {
  const TempFolder folder;
  const TrainingCase problem = with_adagrad({}, OptimizerKind::rowwise_adagrad);
  const ModelState saved = train_and_save(problem, 2, 3, folder.path());
  const ModelState found = loaded(problem, 3, newest_checkpoint(folder.path()).value(), true);
  CHECK(found.dense == saved.dense);
  CHECK(found.values == saved.values);
  CHECK(found.dense_state == std::vector<float>(saved.dense.size(), 0.01f));
  CHECK(found.state[3] == std::vector<float>(problem.rows[3], 0.01f));
}

TEST_CASE("WeightsAreReadFromOneSafetensorsFile") {
  const TempFolder folder;
  const TrainingCase problem = with_sgd({}, 0.1);
  const ModelState wanted = train(problem, 1, 3).state;
  run_ranks(1, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    std::vector<TensorShape> tensors;
    for (const DenseParameter& p : trainer->model().parameters()) tensors.push_back({p.name, p.shape});
    for (size_t t = 0; t < problem.rows.size(); ++t)
      tensors.push_back({fmt::format("emb_l.{}.weight", t), {problem.rows[t], problem.model.embedding_dim}});
    SafetensorsWriter writer(folder / "model", tensors);
    writer.append(wanted.dense);
    for (const auto& table : wanted.values) writer.append(table);
    writer.finish();
  });
  CHECK(loaded(problem, 3, folder / "model", true) == wanted);
}

TEST_CASE("OnlyTheNewestAreKept") {
  const TempFolder folder;
  const TrainingCase problem;
  CHECK_FALSE(newest_checkpoint(folder.path()).has_value());
  for (const int64_t steps : {1, 2, 3, 4}) train_and_save(problem, 2, steps, folder.path(), 2);
  CHECK(names_in(folder / "checkpoints") == std::vector<std::string>{"samples_000000000192", "samples_000000000256"});
  CHECK(newest_checkpoint(folder.path()).value() == folder / "checkpoints/samples_000000000256");
}

TEST_CASE("AFolderWithoutAnIndexIsNoCheckpoint") {
  const TempFolder folder;
  train_and_save({}, 1, 1, folder.path());
  const std::string whole = newest_checkpoint(folder.path()).value();
  fs::create_directories(folder / "checkpoints/samples_000000009999");
  CHECK(newest_checkpoint(folder.path()).value() == whole);

  train_and_save({}, 2, 2, folder.path());  // the next one removes it
  CHECK(names_in(folder / "checkpoints") == std::vector<std::string>{"samples_000000000064", "samples_000000000128"});
}

TEST_CASE("AFailedWriteIsAnErrorOnAllRanksAndLosesNothing") {
  const TempFolder folder;
  const TrainingCase problem;
  const ModelState saved = train_and_save(problem, 3, 2, folder.path(), 1);
  const std::string whole = newest_checkpoint(folder.path()).value();
  // 300 rows of 8 floats are more than 8192 bytes, all other files less: one rank alone fails.
  std::vector<std::string> errors(3);
  std::optional<FileSizeLimit> limit(8192);
  run_ranks(3, [&](Comm& comm) {
    RankTrainer trainer(problem, comm);
    for (int64_t k = 0; k < 3; ++k) trainer.step(k);
    try {
      save_checkpoint(comm, *trainer, trainer.position_of(), {3, 3 * problem.global_batch}, folder.path(), 1);
    } catch (const Error& error) {
      errors[comm.rank()] = error.what();
    }
    const double loss = trainer.step(3);  // the ranks are still in step
    if (!(loss > 0)) fail("loss {}", loss);
  });
  limit.reset();
  for (const std::string& error : errors) {
    CHECK_THAT(error, Catch::Contains("table_03"));
    CHECK(error == errors[0]);
  }
  CHECK(names_in(folder / "checkpoints") == std::vector<std::string>{fs::path(whole).filename()});
  CHECK(loaded(problem, 2, whole) == saved);
}

TEST_CASE("AFolderThatCannotBeMadeIsAnErrorOnAllRanks") {
  const TempFolder folder;
  write_file(folder / "checkpoints", "a file, no folder");
  int errors = 0;
  std::mutex mutex;
  run_ranks(3, [&](Comm& comm) {
    RankTrainer trainer({}, comm);
    try {
      save_checkpoint(comm, *trainer, trainer.position_of(), {0, 0}, folder.path(), 1);
    } catch (const Error& error) {
      const std::lock_guard lock(mutex);
      errors += std::string(error.what()).find(folder.path()) != std::string::npos;
    }
  });
  CHECK(errors == 3);
  CHECK(read_file(folder / "checkpoints") == "a file, no folder");
}

TEST_CASE("CheckpointsOfOtherModelsAreRefused") {
  const TempFolder folder;
  const TrainingCase problem = with_adagrad({}, OptimizerKind::rowwise_adagrad);
  train_and_save(problem, 2, 1, folder.path());
  const std::string path = newest_checkpoint(folder.path()).value();
  const auto refused = [&](const TrainingCase& other, const std::string& reason) {
    CHECK_THROWS_WITH(loaded(other, 2, path), Catch::Contains(path) && Catch::Contains(reason));
  };
  TrainingCase other = problem;
  other.rows[1] = 6;
  refused(other, "a different model");
  other = problem;
  other.model.embedding_dim = 4;
  refused(other, "a different model");
  other = problem;
  other.model.top = {16, 9};
  refused(other, "shape");
  other = problem;
  other.model.bottom = {12, 12};
  refused(other, "bot_l.2");
  refused(with_adagrad({}, OptimizerKind::adagrad), "optimiser");
  refused(with_sgd({}, 0.1), "optimiser");
}

TEST_CASE("DamagedCheckpointsAreRefused") {
  const TempFolder folder;
  const TrainingCase problem;
  train_and_save(problem, 2, 1, folder.path());
  const std::string path = newest_checkpoint(folder.path()).value();
  const auto refused_with = [&](const std::string& file, const std::string& bytes) {
    const std::string good = read_file(path + "/" + file);
    write_file(path + "/" + file, bytes);
    INFO(file << ": " << bytes.substr(0, 300));
    CHECK_THROWS_AS(loaded(problem, 2, path), Error);
    CHECK_THROWS_AS(loaded(problem, 2, path, true), Error);
    write_file(path + "/" + file, good);
  };
  for (const std::string file : {"dense.safetensors", "table_02/rows_0000000000.safetensors"}) {
    const std::string good = read_file(path + "/" + file);
    refused_with(file, "");
    refused_with(file, good.substr(0, good.size() - 1));
    refused_with(file, good.substr(0, good.size() / 2));
    refused_with(file, good + "x");
    refused_with(file, std::string(1000, '\xff'));
  }
  refused_with("table_03/rows_0000000000.safetensors", read_file(path + "/table_02/rows_0000000000.safetensors"));

  const auto index = nlohmann::json::parse(read_file(path + "/index.json"));
  refused_with("index.json", "");
  refused_with("index.json", "[]");
  refused_with("index.json", "null");
  refused_with("index.json", index.dump().substr(0, 40));
  for (const auto& [key, value] : index.items())
    for (const char* other : {"null", "-1", "\"x\"", "[]", "{}", "1e300", "2.5", "18446744073709551615"}) {
      nlohmann::json changed = index;
      changed[key] = nlohmann::json::parse(other);
      refused_with("index.json", changed.dump());
      changed.erase(key);
      refused_with("index.json", changed.dump());
    }
  nlohmann::json changed = index;
  changed["rows_per_file"] = 0;
  refused_with("index.json", changed.dump());
  changed["rows_per_file"] = 7;
  refused_with("index.json", changed.dump());
  fs::remove(path + "/table_01/rows_0000000000.safetensors");
  CHECK_THROWS_AS(loaded(problem, 2, path), Error);
  CHECK_THROWS_AS(loaded(problem, 1, folder / "absent"), Error);
}
