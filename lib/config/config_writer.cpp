#include <string_view>

#include "base/error.hpp"
#include "config/config.hpp"

namespace sparrow {

namespace {

/// In double quotes, so that nothing in it is taken for YAML.
std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      result += fmt::format("\\x{:02x}", c);
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string quoted(const std::vector<std::string>& texts) {
  std::vector<std::string> all;
  for (const auto& text : texts) all.push_back(quoted(text));
  return fmt::format("[{}]", fmt::join(all, ", "));
}

template <class Number>
std::string list(const std::vector<Number>& numbers) {
  return fmt::format("[{}]", fmt::join(numbers, ", "));
}

std::string generate(const GenerateOptions& options) {
  if (options.samples == 0) return "{}";
  return fmt::format("{{out: {}, samples: {}, shards: {}, seed: {}, scale: {}, format: {}, gzip: {}, like: {}}}",
                     quoted(options.out), options.samples, options.shards, options.seed, options.scale, options.format,
                     options.gzip, options.like);
}

std::string optimizer(const OptimizerOptions::One& options) {
  const char* name = "rowwise_adagrad";
  if (options.kind == OptimizerKind::sgd) name = "sgd";
  if (options.kind == OptimizerKind::adagrad) name = "adagrad";
  return fmt::format("{{name: {}, lr: {}, eps: {}, initial_accumulator: {}}}", name, options.lr, options.eps,
                     options.initial_accumulator);
}

const char* precision(DType type) {
  return type == DType::f32 ? "fp32" : "bf16";
}

std::string bytes(int64_t value) {
  return value == 0 ? "auto" : std::to_string(value);
}

/// Lines "  key: value" of one section after the other.
class Writer {
 public:
  void section(const char* name) { text_ += fmt::format("{}:\n", name); }
  template <class Value>
  void key(const char* name, const Value& value) {
    text_ += fmt::format("  {}: {}\n", name, value);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void write_data(Writer& out, const DataOptions& data) {
  out.section("data");
  out.key("train", quoted(data.train));
  out.key("eval", quoted(data.eval));
  out.key("eval_tail", data.eval_tail);
  out.key("generate", generate(data.generate));
  out.key("vocabulary", data.vocabulary);
  out.key("max_rows", data.max_rows.size() == 1 ? std::to_string(data.max_rows[0]) : list(data.max_rows));
  out.key("counts", quoted(data.counts));
  out.key("count_samples", data.count_samples);
  out.key("skip_bad_lines", data.skip_bad_lines);
  out.key("shuffle_window", data.shuffle_window);
  out.key("split", data.split);
  out.key("bag_sizes", list(data.bag_sizes));
}

void write_learning(Writer& out, const ModelOptions& model, const OptimizerOptions& optimizers) {
  out.section("model");
  out.key("embedding_dim", model.embedding_dim);
  out.key("bottom", list(model.bottom));
  out.key("top", list(model.top));
  out.key("interaction", "dot");
  out.section("optimizer");
  out.key("dense", optimizer(optimizers.dense));
  out.key("sparse", optimizer(optimizers.sparse));
  out.key("warmup_steps", optimizers.warmup_steps);
  out.key("decay_start", optimizers.decay_start);
  out.key("decay_steps", optimizers.decay_steps);
}

void write_train(Writer& out, const TrainOptions& train) {
  out.section("train");
  out.key("global_batch", train.global_batch);
  out.key("samples", train.samples);
  out.key("epochs", train.epochs);
  out.key("seed", train.seed);
  out.key("eval_every", train.eval_every);
  out.key("target_auc", train.target_auc);
  out.key("init", quoted(train.init));
  out.key("batch_shares", train.batch_shares == "list" ? list(train.share_list) : train.batch_shares);
}

void write_system(Writer& out, const SystemOptions& system) {
  out.section("system");
  out.key("backend", system.backend);
  out.key("threads", system.threads);
  out.key("precision", precision(system.precision));
  out.key("wire", precision(system.wire));
  out.key("pipeline", system.overlapped ? "overlapped" : "sequential");
  out.key("topology", quoted(system.topology));
  out.key("device_memory", bytes(system.device_memory));
  out.key("host_memory", bytes(system.host_memory));
  out.key("timeout", system.timeout);
  out.key("scratch", quoted(system.scratch));
}

void write_placement(Writer& out, const PlacementOptions& placement) {
  out.section("placement");
  out.key("strategy", placement.strategy);
  out.key("plan", quoted(placement.plan));
  out.key("deduplicate", placement.deduplicate);
  out.key("combine", placement.combine);
  out.key("holders", quoted(placement.holders));
  out.key("assignment", placement.assignment);
  out.key("replan_every", placement.replan_every);
}

void write_output(Writer& out, const OutputOptions& output) {
  out.section("output");
  out.key("dir", quoted(output.dir));
  out.key("report_every", output.report_every);
  out.key("checkpoint_every", output.checkpoint_every);
  out.key("keep", output.keep);
  out.key("on_checkpoint_error", output.stop_on_checkpoint_error ? "stop" : "continue");
  out.key("resume", quoted(output.resume));
  out.key("trace", output.trace);
}

}  // namespace

std::string to_yaml(const Config& config) {
  Writer out;
  write_data(out, config.data);
  write_learning(out, config.model, config.optimizer);
  write_train(out, config.train);
  write_system(out, config.system);
  write_placement(out, config.placement);
  write_output(out, config.output);
  return out.take();
}

}  // namespace sparrow
