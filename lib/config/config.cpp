#include "config/config.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "config/availability.hpp"
#include "config/yaml_reader.hpp"
#include "data/batch.hpp"
#include "data/criteo.hpp"

namespace sparrow {

namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
constexpr int64_t kMostRows = std::numeric_limits<int32_t>::max();  // of a table: row ids are int32 in npy shards

// Each reads one key into `value`, which keeps its default when the key is absent.

template <class Int>
void read_integer(YamlMap& map, const char* key, Int& value, int64_t least, int64_t most = kNoLimit) {
  const int64_t fitting = std::min<uint64_t>(std::numeric_limits<Int>::max(), most);
  if (const auto node = map.find(key)) value = static_cast<Int>(node->integer(least, fitting));
}

void read_real(YamlMap& map, const char* key, double& value, double least,
               double most = std::numeric_limits<float>::max()) {
  if (const auto node = map.find(key)) value = node->real(least, most);
}

void read_boolean(YamlMap& map, const char* key, bool& value) {
  if (const auto node = map.find(key)) value = node->boolean();
}

void read_text(YamlMap& map, const char* key, std::string& value) {
  if (const auto node = map.find(key)) value = node->text();
}

/// A text that must not be empty.
void read_name(YamlMap& map, const char* key, std::string& value) {
  read_text(map, key, value);
  if (value.empty()) map.at(key).fail("must not be empty");
}

void read_choice(YamlMap& map, const char* key, std::string& value, std::initializer_list<std::string_view> words) {
  if (const auto node = map.find(key)) value = node->choice(words);
}

void read_bytes_or_auto(YamlMap& map, const char* key, int64_t& value) {
  if (const auto node = map.find(key)) value = node->is_scalar() && node->text() == "auto" ? 0 : node->bytes();
}

void read_names(YamlMap& map, const char* key, std::vector<std::string>& values) {
  const auto node = map.find(key);
  if (!node) return;
  values.clear();
  for (const auto& item : node->items()) {
    if (item.text().empty()) item.fail("must not be empty");
    values.push_back(item.text());
  }
}

template <class Int>
void read_integers(const YamlNode& list, std::vector<Int>& values, int64_t least, int64_t most) {
  values.clear();
  for (const auto& item : list.items()) values.push_back(static_cast<Int>(item.integer(least, most)));
}

void check_one_per_table(const YamlNode& list) {
  const size_t length = list.items().size();
  if (length != kCriteoTables) list.fail("a list of {}; the data have {} tables", length, kCriteoTables);
}

/// The section's map, empty when it is absent.
YamlMap section(YamlMap& parent, const char* key) {
  if (const auto node = parent.find(key)) return node->map();
  return YamlNode::parse("{}", "").map();
}

void read_generate(const YamlNode& node, GenerateOptions& options) {
  YamlMap map = node.map();
  if (map.empty()) return;
  read_name(map, "out", options.out);
  read_integer(map, "samples", options.samples, 1);
  read_integer(map, "shards", options.shards, 1, 100000);
  read_integer(map, "seed", options.seed, 0);
  read_real(map, "scale", options.scale, 1e-9, 2);
  read_choice(map, "format", options.format, {"tsv", "npy"});
  read_boolean(map, "gzip", options.gzip);
  read_choice(map, "like", options.like, {"terabyte", "kaggle"});
  map.at("out");
  map.at("samples");
  if (options.gzip && options.format == "npy") map.at("gzip").fail("npy shards are not compressed");
  if (options.shards > options.samples) node.fail("{} shards for {} samples", options.shards, options.samples);
  map.finish();
}

void read_data(YamlMap map, DataOptions& options) {
  read_names(map, "train", options.train);
  read_names(map, "eval", options.eval);
  read_integer(map, "eval_tail", options.eval_tail, 0);
  if (!options.eval.empty() && options.eval_tail > 0) map.at("eval_tail").fail("data.eval is set too; one of them");
  if (const auto node = map.find("generate")) read_generate(*node, options.generate);
  read_choice(map, "vocabulary", options.vocabulary, {"hash", "file"});
  if (const auto node = map.find("max_rows"); node && node->is_list()) {
    check_one_per_table(*node);
    read_integers(*node, options.max_rows, 1, kMostRows);
  } else if (node) {
    options.max_rows = {node->integer(1, kMostRows)};
  }
  read_text(map, "counts", options.counts);
  read_integer(map, "count_samples", options.count_samples, 0);
  read_integer(map, "skip_bad_lines", options.skip_bad_lines, 0);
  read_integer(map, "shuffle_window", options.shuffle_window, 0);
  read_choice(map, "split", options.split, {"batches", "ranks"});
  if (options.split == "ranks" && options.shuffle_window > 0)
    map.at("split").fail("data.shuffle_window would mix the parts of the ranks; one of them");
  if (const auto node = map.find("bag_sizes")) {
    if (!node->items().empty()) check_one_per_table(*node);
    read_integers(*node, options.bag_sizes, 1, 1 << 20);
  }
  map.finish();
}

void read_model(YamlMap map, ModelOptions& options) {
  constexpr int64_t kWidest = 1 << 20;
  read_integer(map, "embedding_dim", options.embedding_dim, 1, 1 << 16);
  if (const auto node = map.find("bottom")) read_integers(*node, options.bottom, 1, kWidest);
  if (const auto node = map.find("top")) read_integers(*node, options.top, 1, kWidest);
  std::string interaction;
  read_choice(map, "interaction", interaction, {"dot"});
  map.finish();
}

OptimizerKind optimizer_kind(const std::string& name) {
  if (name == "sgd") return OptimizerKind::sgd;
  return name == "adagrad" ? OptimizerKind::adagrad : OptimizerKind::rowwise_adagrad;
}

void read_optimizer_of(YamlMap& parent, const char* key, OptimizerOptions::One& options,
                       std::initializer_list<std::string_view> names) {
  YamlMap map = section(parent, key);
  if (const auto node = map.find("name")) options.kind = optimizer_kind(node->choice(names));
  read_real(map, "lr", options.lr, 0);
  read_real(map, "eps", options.eps, 0);
  read_real(map, "initial_accumulator", options.initial_accumulator, 0);
  const bool divides = options.kind != OptimizerKind::sgd;
  if (divides && static_cast<float>(options.eps) == 0 && static_cast<float>(options.initial_accumulator) == 0) {
    map.at("eps").fail("{} divides by zero for a gradient of zero; set initial_accumulator or a larger eps",
                       options.eps);
  }
  map.finish();
}

void read_optimizer(YamlMap map, OptimizerOptions& options) {
  read_optimizer_of(map, "dense", options.dense, {"sgd", "adagrad"});
  read_optimizer_of(map, "sparse", options.sparse, {"sgd", "adagrad", "rowwise_adagrad"});
  read_integer(map, "warmup_steps", options.warmup_steps, 0);
  read_integer(map, "decay_start", options.decay_start, 0);
  read_integer(map, "decay_steps", options.decay_steps, 0);
  if (options.decay_steps > 0 && options.decay_start < options.warmup_steps) {
    map.at(map.find("decay_start") ? "decay_start" : "decay_steps")
        .fail("the decay starts at step {}, before the warm-up ends at step {}", options.decay_start,
              options.warmup_steps);
  }
  map.finish();
}

void read_batch_shares(const YamlNode& node, TrainOptions& options) {
  if (!node.is_list()) {
    options.batch_shares = node.choice({"equal", "planned"});
    return;
  }
  options.batch_shares = "list";
  for (const auto& item : node.items()) options.share_list.push_back(item.real(0, 1e9));
  const double total = std::accumulate(options.share_list.begin(), options.share_list.end(), 0.0);
  if (total <= 0) node.fail("no rank has a share");
}

void read_train(YamlMap map, TrainOptions& options) {
  read_integer(map, "global_batch", options.global_batch, 1, std::numeric_limits<int32_t>::max());
  read_integer(map, "samples", options.samples, 0);
  read_integer(map, "epochs", options.epochs, 1);
  read_integer(map, "seed", options.seed, 0);
  read_integer(map, "eval_every", options.eval_every, 0);
  read_real(map, "target_auc", options.target_auc, 0, 1);
  read_text(map, "init", options.init);
  if (const auto node = map.find("batch_shares")) read_batch_shares(*node, options);
  map.finish();
}

void read_precision(YamlMap& map, const char* key, DType& value) {
  if (const auto node = map.find(key)) value = node->choice({"fp32", "bf16"}) == "bf16" ? DType::bf16 : DType::f32;
}

void read_system(YamlMap map, SystemOptions& options) {
  read_choice(map, "backend", options.backend, {"auto", "cuda", "host"});
  read_integer(map, "threads", options.threads, 0, 4096);
  read_precision(map, "precision", options.precision);
  read_precision(map, "wire", options.wire);
  if (const auto node = map.find("pipeline"))
    options.overlapped = node->choice({"overlapped", "sequential"}) == "overlapped";
  read_name(map, "topology", options.topology);
  read_bytes_or_auto(map, "device_memory", options.device_memory);
  read_bytes_or_auto(map, "host_memory", options.host_memory);
  if (options.host_memory > 0 && options.topology != "auto")
    map.at("host_memory").fail("topology {} says how large its stores are: only with topology: auto", options.topology);
  read_real(map, "timeout", options.timeout, 0.001, 1e7);
  read_text(map, "scratch", options.scratch);
  map.finish();
}

void read_placement(YamlMap map, PlacementOptions& options) {
  read_choice(map, "strategy", options.strategy,
              {"optimal", "held", "table_wise", "row_wise", "replicated", "fetched", "hot_cold"});
  read_text(map, "plan", options.plan);
  read_boolean(map, "deduplicate", options.deduplicate);
  read_boolean(map, "combine", options.combine);
  read_name(map, "holders", options.holders);
  read_choice(map, "assignment", options.assignment, {"contiguous", "local"});
  read_integer(map, "replan_every", options.replan_every, 0);
  if (options.replan_every > 0 && options.strategy != "optimal")
    map.at("replan_every").fail("needs placement.strategy: optimal, not {}", options.strategy);
  map.finish();
}

void read_output(YamlMap map, OutputOptions& options) {
  read_name(map, "dir", options.dir);
  read_integer(map, "report_every", options.report_every, 1);
  read_integer(map, "checkpoint_every", options.checkpoint_every, -1);
  read_integer(map, "keep", options.keep, 1);
  if (const auto node = map.find("on_checkpoint_error")) {
    options.stop_on_checkpoint_error = node->choice({"stop", "continue"}) == "stop";
  }
  read_name(map, "resume", options.resume);
  read_boolean(map, "trace", options.trace);
  map.finish();
}

Config read_config(YamlNode root, const std::vector<std::string>& overrides) {
  for (const auto& assignment : overrides) root = root.with(assignment);
  Config config;
  YamlMap map = root.map();
  for (const char* key : {"data", "model", "optimizer", "train", "system", "placement", "output"}) map.find(key);
  map.finish();  // first, as an unknown section explains more than what is missing in a known one
  read_data(section(map, "data"), config.data);
  read_model(section(map, "model"), config.model);
  read_optimizer(section(map, "optimizer"), config.optimizer);
  read_train(section(map, "train"), config.train);
  read_system(section(map, "system"), config.system);
  read_placement(section(map, "placement"), config.placement);
  read_output(section(map, "output"), config.output);
  refuse_unavailable(root, config);
  return config;
}

}  // namespace

Config load_config(const std::string& path, const std::vector<std::string>& overrides) {
  return read_config(YamlNode::load(path), overrides);
}

Config parse_config(const std::string& text, const std::string& name, const std::vector<std::string>& overrides) {
  return read_config(YamlNode::parse(text, name), overrides);
}

}  // namespace sparrow
