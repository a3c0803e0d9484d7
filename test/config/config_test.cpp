#include "config/config.hpp"

#include <catch2/catch.hpp>

#include "config/field_reader.hpp"
#include "config/field_writer.hpp"
#include "test/support/error_of.hpp"

namespace {
enum class Colour { red, green, blue };
}
template <>
inline constexpr sparrow::Word sparrow::kWords<Colour>[] = {"red", "green", {"blue", sparrow::kLater}};

using namespace sparrow;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using test::error_of;

namespace {

Config parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_config(text, "f", overrides);
}

std::string parse_error(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return error_of([&] { parse(text, overrides); });
}

/// One key in its section, in the second line.
std::string with_key(const std::string& section, const std::string& key_and_value) {
  return section + ":\n  " + key_and_value + "\n";
}

std::string list_of(int length, const std::string& value) {
  std::string list = "[" + value;
  for (int i = 1; i < length; ++i) list += ", " + value;
  return list + "]";
}

/// The dotted names of all keys below `node`, in the order of the file.
std::vector<std::string> keys_of(const YamlNode& node) {
  std::vector<std::string> keys;
  YamlMap map = node.map();
  for (const auto& [key, value] : map.entries()) {
    keys.push_back(value.path());
    if (!value.is_map()) continue;
    for (const std::string& below : keys_of(value)) keys.push_back(below);
  }
  return keys;
}

// Options of no module, with all that a key needs: its field and its line of visit_fields.

struct BirdOptions {
  Colour colour = Colour::red;
  int wings = 2;
};
template <class Visitor>
void visit_fields(Visitor& visit, BirdOptions& options) {
  visit("colour", options.colour);
  visit("wings", options.wings, Integers{0, 4});
  visit.require(options.wings % 2 == 0, {"wings"}, "{} is odd", options.wings);
}

struct ForestOptions {
  BirdOptions bird;
};
template <class Visitor>
void visit_fields(Visitor& visit, ForestOptions& options) {
  visit("bird", options.bird);
}

ForestOptions read_forest(const std::string& text) {
  ForestOptions options;
  read_fields(YamlNode::parse(text, "f").map(), options);
  return options;
}

/// A configuration in which every key that can be is something else than its default.
const char* const kEverythingElse = R"(
data: {train: ["a*.tsv", 'b "c" \d'], eval: [e.tsv], generate: {out: "g h", samples: 10, shards: 3, seed: 4, scale: 0.1, gzip: true, like: kaggle},
       counts: c, count_samples: 5, skip_bad_lines: 6, split: ranks,
       max_rows: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26],
       bag_sizes: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26]}
model: {embedding_dim: 16, bottom: [], top: [3, 2, 1]}
optimizer: {dense: {name: sgd, lr: 0.3, eps: 1e-3, initial_accumulator: 0.1}, sparse: {name: adagrad, lr: 1e-7, eps: 0, initial_accumulator: 1},
            warmup_steps: 3, decay_start: 4, decay_steps: 5}
train: {global_batch: 7, samples: 8, epochs: 9, seed: 9223372036854775807, eval_every: 11, target_auc: 0.8025, init: "i:\n#", batch_shares: [0, 0.1, 3]}
system: {backend: host, threads: 3, precision: bf16, timeout: 0.25, scratch: "/s"}
output: {dir: "d", report_every: 1, checkpoint_every: -1, keep: 3, on_checkpoint_error: continue, resume: never}
)";

}  // namespace

TEST_CASE("AnEmptyMapIsTheDefaults") {
  CHECK(to_yaml(parse("{}")) == to_yaml(Config{}));
  CHECK(to_yaml(parse("data:\ntrain:\n")) == to_yaml(Config{}));
}

TEST_CASE("TheReferenceIsTheDefaultsAndNamesEveryKey") {
  const std::string path = SPARROW_CONFIGS "/reference.yaml";
  CHECK(to_yaml(load_config(path)) == to_yaml(Config{}));
  const std::vector<std::string> named = keys_of(YamlNode::load(path));
  CHECK(named == keys_of(YamlNode::parse(to_yaml(Config{}), "written")));
  CHECK(named.size() > 50);
}

TEST_CASE("TheDefaultsAreThoseOfTheReference") {
  const Config config = parse("{}");
  CHECK(config.data.max_rows == std::vector<int64_t>{1000000});
  CHECK(config.data.count_samples == 200000);
  CHECK(config.model.embedding_dim == 64);
  CHECK(config.model.top == std::vector<int64_t>{512, 256});
  CHECK(config.optimizer.dense.kind == OptimizerKind::adagrad);
  CHECK(config.optimizer.sparse.kind == OptimizerKind::rowwise_adagrad);
  CHECK(config.optimizer.sparse.lr == 0.02);
  CHECK(config.train.global_batch == 4096);
  CHECK(config.system.timeout == 60);
  CHECK_FALSE(config.system.overlapped);
  CHECK(!config.placement.strategy);
  CHECK(config.output.dir == "runs/default");
  CHECK(config.output.keep == 2);
}

TEST_CASE("EveryKeyIsRead") {
  const Config config = parse(kEverythingElse);
  CHECK(config.data.train == std::vector<std::string>{"a*.tsv", "b \"c\" \\d"});
  CHECK(config.data.eval == std::vector<std::string>{"e.tsv"});
  CHECK(config.data.generate->out == "g h");
  CHECK(config.data.generate->samples == 10);
  CHECK(config.data.generate->shards == 3);
  CHECK(config.data.generate->seed == 4);
  CHECK(config.data.generate->scale == 0.1);
  CHECK(config.data.generate->gzip);
  CHECK(config.data.generate->like == CriteoSet::kaggle);
  CHECK(config.data.max_rows[25] == 26);
  CHECK(config.data.bag_sizes[25] == 26);
  CHECK(config.data.counts == "c");
  CHECK(config.data.count_samples == 5);
  CHECK(config.data.skip_bad_lines == 6);
  CHECK(config.data.split == DataSplit::ranks);
  CHECK(config.model.embedding_dim == 16);
  CHECK(config.model.bottom.empty());
  CHECK(config.model.top == std::vector<int64_t>{3, 2, 1});
  CHECK(config.optimizer.dense.kind == OptimizerKind::sgd);
  CHECK(config.optimizer.dense.lr == 0.3);
  CHECK(config.optimizer.dense.eps == 1e-3);
  CHECK(config.optimizer.dense.initial_accumulator == 0.1);
  CHECK(config.optimizer.sparse.kind == OptimizerKind::adagrad);
  CHECK(config.optimizer.warmup_steps == 3);
  CHECK(config.optimizer.decay_start == 4);
  CHECK(config.optimizer.decay_steps == 5);
  CHECK(config.train.global_batch == 7);
  CHECK(config.train.samples == 8);
  CHECK(config.train.epochs == 9);
  CHECK(config.train.seed == INT64_MAX);
  CHECK(config.train.eval_every == 11);
  CHECK(config.train.target_auc == 0.8025);
  CHECK(config.train.init == "i:\n#");
  CHECK(config.train.batch_shares == BatchShares::given);
  CHECK(config.train.batch_shares.given == std::vector<double>{0, 0.1, 3});
  CHECK(config.system.backend == BackendChoice::host);
  CHECK(config.system.threads == 3);
  CHECK(config.system.precision == DType::bf16);
  CHECK(config.system.timeout == 0.25);
  CHECK(config.system.scratch == "/s");
  CHECK(config.output.report_every == 1);
  CHECK(config.output.checkpoint_every == -1);
  CHECK(config.output.keep == 3);
  CHECK_FALSE(config.output.stop_on_checkpoint_error);
  CHECK(config.output.resume == Resume::never);
}

TEST_CASE("WhatIsWrittenReadsBackTheSame") {
  for (const char* text : {"{}", kEverythingElse}) {
    const std::string written = to_yaml(parse(text));
    CHECK(to_yaml(parse(written)) == written);
  }
  CHECK(parse(to_yaml(parse(kEverythingElse))).train.init == "i:\n#");
  CHECK(to_yaml(parse(kEverythingElse)) != to_yaml(parse("{}")));
}

TEST_CASE("AKeyIsItsFieldAndItsLineBesideIt") {
  ForestOptions options = read_forest("bird: {wings: 4, colour: green}");
  CHECK(options.bird.colour == Colour::green);
  CHECK(options.bird.wings == 4);
  CHECK(FieldWriter::sections(options) == "bird:\n  colour: green\n  wings: 4\n");
  const auto refused = [](const std::string& key) { return error_of([&] { read_forest("bird:\n  " + key); }); };
  CHECK(refused("colour: gren") ==
        "f:2: bird.colour: unknown value 'gren'; expected: red, green, blue; did you mean green?");
  CHECK(refused("colour: blue") == "f:2: bird.colour: blue is not available yet");
  CHECK(refused("wings: 5") == "f:2: bird.wings: 5 is more than 4");
  CHECK(refused("wings: 3") == "f:2: bird.wings: 3 is odd");
  CHECK(refused("wing: 2") == "f:2: bird.wing: unknown key; did you mean wings?");
}

TEST_CASE("UnknownKeysAreErrorsWithASuggestion") {
  CHECK(parse_error("trian:\n  seed: 1\n") == "f:1: trian: unknown key; did you mean train?");
  CHECK(parse_error(with_key("train", "globalbatch: 1")) ==
        "f:2: train.globalbatch: unknown key; did you mean global_batch?");
  CHECK(parse_error("optimizer:\n  dense: {lr: 1, momentum: 2}\n") == "f:2: optimizer.dense.momentum: unknown key");
  CHECK_THAT(parse_error("data:\n  generate: {out: a, samples: 5, shard: 2}\n"),
             Contains("data.generate.shard: unknown key; did you mean shards?"));
  for (const char* section : {"data", "model", "optimizer", "train", "system", "placement", "output"}) {
    CHECK_THAT(parse_error(with_key(section, "nonsense: 1")),
               StartsWith(std::string("f:2: ") + section + ".nonsense: unknown key"));
  }
}

TEST_CASE("ImpossibleValuesAreErrorsNamingLineAndKey") {
  struct Case {
    const char *section, *key, *value;
  };
  const std::string two = list_of(2, "5"), many = list_of(27, "1"), zero_rows = list_of(26, "0");
  const std::vector<Case> cases = {
      {"model", "embedding_dim", "-3"},
      {"model", "embedding_dim", "0"},
      {"model", "embedding_dim", "64.5"},
      {"model", "embedding_dim", "[64]"},
      {"model", "embedding_dim", "1e9"},
      {"model", "bottom", "512"},
      {"model", "bottom", "[512, 0]"},
      {"model", "top", "[a]"},
      {"model", "interaction", "cat"},
      {"train", "global_batch", "0"},
      {"train", "global_batch", "-1"},
      {"train", "global_batch", "1e10"},
      {"train", "samples", "-1"},
      {"train", "epochs", "0"},
      {"train", "seed", "-1"},
      {"train", "seed", "99999999999999999999"},
      {"train", "target_auc", "1.1"},
      {"train", "target_auc", ".nan"},
      {"train", "batch_shares", "unequal"},
      {"train", "batch_shares", "[1, -1]"},
      {"train", "batch_shares", "[]"},
      {"train", "batch_shares", "[0, 0]"},
      {"train", "init", "[a]"},
      {"data", "eval_tail", "-1"},
      {"data", "train", "a.tsv"},
      {"data", "train", "['']"},
      {"data", "train", "[[a]]"},
      {"data", "max_rows", "0"},
      {"data", "max_rows", "3e9"},
      {"data", "max_rows", two.c_str()},
      {"data", "max_rows", zero_rows.c_str()},
      {"data", "bag_sizes", many.c_str()},
      {"data", "bag_sizes", "1"},
      {"data", "vocabulary", "hsah"},
      {"data", "skip_bad_lines", "-1"},
      {"data", "shuffle_window", "x"},
      {"data", "split", "files"},
      {"data", "generate", "{samples: 5}"},
      {"data", "generate", "{out: a}"},
      {"data", "generate", "{out: a, samples: 0}"},
      {"data", "generate", "{out: '', samples: 1}"},
      {"data", "generate", "{out: a, samples: 3, shards: 4}"},
      {"data", "generate", "[]"},
      {"data", "generate", "{out: a, samples: 3, scale: 0}"},
      {"data", "generate", "{out: a, samples: 3, gzip: true, format: npy}"},
      {"data", "generate", "{out: a, samples: 3, format: csv}"},
      {"optimizer", "dense", "adagrad"},
      {"optimizer", "dense", "{lr: -0.1}"},
      {"optimizer", "dense", "{lr: nan}"},
      {"optimizer", "dense", "{lr: 1e300}"},
      {"optimizer", "dense", "{name: rowwise_adagrad}"},
      {"optimizer", "sparse", "{name: adam}"},
      {"optimizer", "sparse", "{eps: -1}"},
      {"optimizer", "sparse", "{eps: 0}"},
      {"optimizer", "sparse", "{eps: 1e-60}"},
      {"optimizer", "warmup_steps", "-1"},
      {"system", "backend", "gpu"},
      {"system", "threads", "-1"},
      {"system", "precision", "fp16"},
      {"system", "timeout", "0"},
      {"system", "timeout", "-5"},
      {"system", "device_memory", "4gigs"},
      {"system", "device_memory", "0"},
      {"system", "device_memory", "-1"},
      {"system", "topology", "''"},
      {"placement", "strategy", "best"},
      {"placement", "deduplicate", "maybe"},
      {"placement", "assignment", "random"},
      {"placement", "replan_every", "-1"},
      {"output", "dir", "''"},
      {"output", "dir", ""},
      {"output", "report_every", "0"},
      {"output", "checkpoint_every", "-2"},
      {"output", "keep", "0"},
      {"output", "on_checkpoint_error", "ignore"},
      {"output", "resume", "''"},
      {"output", "trace", "1"},
  };
  for (const auto& [section, key, value] : cases) {
    const std::string dotted = std::string(section) + "." + key;
    INFO(dotted << ": " << value);
    CHECK_THAT(parse_error(with_key(section, std::string(key) + ": " + value)), StartsWith("f:2: " + dotted));
    const std::string setting = dotted + "=" + value;
    if (*value) CHECK_THAT(parse_error("{}", {setting}), StartsWith("--set " + setting + ": " + dotted));
  }
}

TEST_CASE("ValuesThatContradictEachOtherAreErrors") {
  CHECK_THAT(parse_error("placement:\n  strategy: held\n  replan_every: 1000\n"),
             StartsWith("f:3: placement.replan_every: ") && Contains("placement.strategy: optimal"));
  CHECK_THAT(parse_error("system:\n  topology: t.yaml\n  host_memory: 1GiB\n"),
             StartsWith("f:3: system.host_memory: ") && Contains("topology t.yaml"));
  CHECK_THAT(parse_error("data:\n  eval: [a]\n  eval_tail: 5\n"),
             StartsWith("f:3: data.eval_tail: ") && Contains("data.eval"));
  CHECK_THAT(parse_error("optimizer:\n  warmup_steps: 10\n  decay_steps: 5\n"),
             StartsWith("f:3: optimizer.decay_steps: "));
  CHECK_THAT(parse_error("optimizer:\n  warmup_steps: 10\n  decay_steps: 5\n  decay_start: 9\n"),
             StartsWith("f:4: optimizer.decay_start: "));
  CHECK(parse_error("optimizer: {warmup_steps: 10, decay_start: 10, decay_steps: 5}").empty());
}

TEST_CASE("AnOverrideGoesBeforeTheFile") {
  const Config config = parse("train:\n  seed: 1\n  epochs: 2\n",
                              {"train.seed=5", "optimizer.sparse.lr=0.5", "data.train=[a, b]", "train.seed=6"});
  CHECK(config.train.seed == 6);
  CHECK(config.train.epochs == 2);
  CHECK(config.optimizer.sparse.lr == 0.5);
  CHECK(config.optimizer.sparse.kind == OptimizerKind::rowwise_adagrad);
  CHECK(config.data.train == std::vector<std::string>{"a", "b"});
  CHECK(parse("output: {dir: a}", {"data.generate={out: x, samples: 9}"}).data.generate->samples == 9);
  CHECK(parse_error("{}", {"train.sede=5"}) == "--set train.sede=5: train.sede: unknown key; did you mean seed?");
  CHECK_THAT(parse_error("train: 5", {"train.seed=5"}), StartsWith("--set train.seed=5: "));
  CHECK(parse("train: {seed: x}", {"train.seed=5"}).train.seed == 5);  // the value that it replaces is not looked at
}

TEST_CASE("SizesArePlainOrWithUnits") {
  CHECK(parse("system: {device_memory: 4GiB}").system.device_memory == int64_t{4} << 30);
  CHECK(parse("system: {device_memory: 512MiB}").system.device_memory == int64_t{512} << 20);
  CHECK(parse("system: {device_memory: 1e9}").system.device_memory == 1000000000);
  CHECK(parse("system: {device_memory: auto}").system.device_memory == 0);
}

TEST_CASE("WhatIsNotAvailableYetIsRefusedByName") {
  const std::vector<std::pair<std::string, std::string>> later = {
      {"placement", "holders: p.bin"},
      {"data", "vocabulary: file"},
  };
  for (const auto& [section, setting] : later) {
    INFO(section << "." << setting);
    const std::string key = setting.substr(0, setting.find(':')), value = setting.substr(setting.find(' ') + 1);
    CHECK(parse_error(with_key(section, setting)) ==
          "f:2: " + section + "." + key + ": " + value + " is not available yet");
    CHECK_THAT(parse_error("{}", {section + "." + key + "=" + value}),
               StartsWith("--set ") && Contains("not available yet"));
  }
}

TEST_CASE("SamplesDoNotLeaveTheirRankWhereDataAreDivided") {
  for (const std::string setting : {"placement.assignment=local", "placement.holders=first_use"})
    CHECK_THAT(parse_error("{}", {"data.split=ranks", setting}), Contains("data.split: ranks keeps samples"));
  CHECK(parse("{}", {"data.split=ranks"}).data.split == DataSplit::ranks);
}

TEST_CASE("WhatIsAvailableMayBeSetInWords") {
  CHECK_NOTHROW(parse(R"(
data: {vocabulary: hash}
train: {batch_shares: planned, init: runs/a/checkpoint}
system: {backend: host, pipeline: sequential, wire: bf16, topology: t.yaml, device_memory: 4GiB, host_memory: auto}
placement: {strategy: hot_cold, plan: "p.json", deduplicate: false, combine: false, holders: arithmetic, assignment: contiguous, replan_every: 0}
output: {trace: true, checkpoint_every: 1000, resume: runs/a/checkpoint}
)"));
}

TEST_CASE("FilesThatAreNotConfigurationsAreErrors") {
  CHECK_THAT(error_of([] { load_config("/nowhere/c.yaml"); }), Contains("/nowhere/c.yaml: No such file"));
  CHECK_THAT(error_of([] { load_config(SPARROW_CONFIGS); }), Contains("is a directory"));
  CHECK_THAT(parse_error("[a, b]"), StartsWith("f:1: a list"));
  CHECK_THAT(parse_error("hello"), StartsWith("f:1: 'hello'"));
}
