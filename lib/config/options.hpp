// A training run as a whole: sections `train`, `system` and `output` of the configuration, beside those of data, model
// and placement, which are their modules' own.
#pragma once

#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "base/fields.hpp"
#include "data/options.hpp"
#include "kernels/backend.hpp"
#include "model/options.hpp"
#include "placement/options.hpp"

namespace sparrow {

template <>
inline constexpr Word kWords<DType>[] = {"fp32", "bf16"};

/// Parts of the global batch; given: one number per rank.
enum class BatchShares : uint8_t { equal, planned, given };
template <>
inline constexpr Word kWords<BatchShares>[] = {"equal", "planned"};

enum class BackendChoice : uint8_t { automatic, cuda, host };
template <>
inline constexpr Word kWords<BackendChoice>[] = {"auto", "cuda", "host"};

/// Where a run begins; given: at the checkpoint of that path.
enum class Resume : uint8_t { automatic, never, given };
template <>
inline constexpr Word kWords<Resume>[] = {"auto", "never"};

struct TrainOptions {
  int64_t global_batch = 4096;
  int64_t samples = 0;  ///< stop after this many; 0: after `epochs` passes
  int64_t epochs = 1;
  uint64_t seed = 1;
  int64_t eval_every = 0;
  double target_auc = 0;
  std::string init;  ///< a checkpoint folder or a safetensors file; empty: random
  WordOr<BatchShares, std::vector<double>> batch_shares;
};

template <class Visitor>
void visit_fields(Visitor& visit, TrainOptions& options) {
  visit("global_batch", options.global_batch, Integers{1, std::numeric_limits<int32_t>::max()});
  visit("samples", options.samples, Integers{0});
  visit("epochs", options.epochs, Integers{1});
  visit("seed", options.seed, Integers{0});
  visit("eval_every", options.eval_every, Integers{0});
  visit("target_auc", options.target_auc, Reals{0, 1});
  visit("init", options.init);
  visit("batch_shares", options.batch_shares, Reals{0, 1e9});
  const std::vector<double>& shares = options.batch_shares.given;
  visit.require(options.batch_shares.word != BatchShares::given || std::reduce(shares.begin(), shares.end()) > 0,
                {"batch_shares"}, "no rank has a share");
}

struct SystemOptions {
  BackendChoice backend = BackendChoice::automatic;
  int threads = 0;  ///< per rank; 0: cores of the machine / ranks on it
  DType precision = DType::f32;
  DType wire = DType::f32;
  bool overlapped = false;
  std::string topology = "auto";  ///< auto, or a file
  int64_t device_memory = 0;      ///< bytes; 0: auto
  int64_t host_memory = 0;
  double timeout = 60;
  std::string scratch;
};

template <class Visitor>
void visit_fields(Visitor& visit, SystemOptions& options) {
  visit("backend", options.backend);
  visit("threads", options.threads, Integers{0, 4096});
  visit("precision", options.precision);
  visit("wire", options.wire);
  visit("pipeline", options.overlapped, YesNo{"overlapped", "sequential"});
  visit("topology", options.topology, NotEmpty{});
  visit("device_memory", options.device_memory, BytesOrAuto{});
  visit("host_memory", options.host_memory, BytesOrAuto{});
  visit.require(options.host_memory == 0 || options.topology == "auto", {"host_memory"},
                "topology {} says how large its stores are: only with topology: auto", options.topology);
  visit("timeout", options.timeout, Reals{0.001, 1e7});
  visit("scratch", options.scratch);
}

struct OutputOptions {
  std::string dir = "runs/default";
  int64_t report_every = 50;
  int64_t checkpoint_every = 0;  ///< in samples; 0: at the end only; -1: never
  int keep = 2;
  bool stop_on_checkpoint_error = true;
  WordOr<Resume, std::string> resume;
  bool trace = false;
};

template <class Visitor>
void visit_fields(Visitor& visit, OutputOptions& options) {
  visit("dir", options.dir, NotEmpty{});
  visit("report_every", options.report_every, Integers{1});
  visit("checkpoint_every", options.checkpoint_every, Integers{-1});
  visit("keep", options.keep, Integers{1});
  visit("on_checkpoint_error", options.stop_on_checkpoint_error, YesNo{"stop", "continue"});
  visit("resume", options.resume);
  visit("trace", options.trace);
}

struct RunOptions {
  DataOptions data;
  ModelOptions model;
  OptimizerOptions optimizer;
  TrainOptions train;
  SystemOptions system;
  PlacementOptions placement;
  OutputOptions output;
};

template <class Visitor>
void visit_fields(Visitor& visit, RunOptions& options) {
  visit("data", options.data);
  visit("model", options.model);
  visit("optimizer", options.optimizer);
  visit("train", options.train);
  visit("system", options.system);
  visit("placement", options.placement);
  visit("output", options.output);
  const PlacementOptions& placement = options.placement;
  visit.require(
      options.data.split == DataSplit::batches ||
          (placement.assignment != AssignmentChoice::local && placement.holders.word != HolderChoice::first_use),
      {"placement", "data"},
      "data.split: ranks keeps samples where they are: only with assignment: contiguous and holders: arithmetic");
}

}  // namespace sparrow
