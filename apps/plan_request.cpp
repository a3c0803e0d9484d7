// The command line of `sparrow plan`.
#include "plan_request.hpp"

#include <algorithm>
#include <cmath>
#include <cxxopts.hpp>

#include "base/error.hpp"
#include "config/quantity.hpp"
#include "placement/baselines/strategies.hpp"

namespace sparrow {
namespace {

constexpr int64_t kMostBatch = int64_t{1} << 32;
constexpr int64_t kMostWidth = 1 << 16;

cxxopts::Options plan_options() {
  cxxopts::Options options(
      "sparrow plan",
      "Decides for every embedding row at which level it is copied and in which memory it lives so that an iteration\n"
      "takes the least time, and shows how good the decision is. All figures are modelled, nothing is run.\n\n"
      "  sparrow plan --topology configs/topologies/dgx-h100.yaml --tables criteo-terabyte --dim 128 --batch 65536\n");
  const auto text = [] { return cxxopts::value<std::string>(); };
  auto add = options.add_options("Input");
  add("topology", "the machine, a file such as configs/topologies/dgx-h100.yaml", text(), "FILE");
  add("counts", "how often rows are used: folder of `sparrow count` (histogram_NN.npy, or table_NN.npy)", text(),
      "DIR");
  add("sampled", "the counts are of a sample: reserve probability for rows not seen in it");
  add("tables", "criteo-terabyte, criteo-terabyte-40m, criteo-kaggle, or rows of tables: 1000,26x1e6", text(), "SET");
  add("distribution", "instead of the data set's own: uniform, zipf:S, zipf:S+SHIFT, two:S1,R1,S2", text(), "LAW");
  add("dim", "values of an embedding row", cxxopts::value<int64_t>()->default_value("64"), "D");
  add("batch", "samples of an iteration over all ranks", cxxopts::value<int64_t>()->default_value("4096"), "B");
  add("bag-sizes", "lookups of a sample per table: one number, one per table, or `multi-hot` (criteo-terabyte)", text(),
      "N,...");
  add("optimizer", "optimiser of the rows: sgd, adagrad, rowwise_adagrad", text()->default_value("rowwise_adagrad"),
      "NAME");
  add("bottom", "hidden layers of the bottom MLP", cxxopts::value<std::vector<int64_t>>()->default_value("512,256"),
      "N,...");
  add("top", "hidden layers of the top MLP", cxxopts::value<std::vector<int64_t>>()->default_value("512,256"), "N,...");
  add("wire", "type of rows and gradients sent: fp32, bf16", text()->default_value("fp32"), "TYPE");
  add("pipeline", "sequential, or overlapped: the next batch's exchange runs beside this one's compute",
      text()->default_value("sequential"), "MODE");
  add("device-memory", "for rows and buffers on every rank that has samples, e.g. 16GiB; default: the topology's",
      text(), "BYTES");
  add("no-combine", "deduplicate per rank only, not at every level of the tree");
  add("batch-shares", "topology, or planned: unequal ranks get parts of the batch that minimise the time",
      text()->default_value("topology"), "HOW");
  add("optimize-batch", "choose the batch size too, from 1/16 to 16 times --batch, for the least time per sample");
  auto shown = options.add_options("Output");
  shown("strategy", "all, optimal, held, table_wise, row_wise, replicated, fetched, hot_cold",
        text()->default_value("all"), "NAME");
  shown("explain", "why a row is placed where it is: the cost of each of its options", text(), "TABLE[:POSITION]");
  shown("sweep",
        "CSV instead of a table; repeated: every combination. Keys: exponent, memory, batch, dim, ranks, bandwidth (a "
        "factor)",
        cxxopts::value<std::vector<std::string>>(), "KEY=A,B,C");
  shown("out", "write the plan there (with --sweep: the CSV)", text(), "FILE");
  shown("json", "one JSON object instead of a table");
  shown("h,help", "print this");
  return options;
}

std::vector<double> parse_bag_sizes(const std::string& text) {
  std::vector<double> sizes;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string item = text.substr(begin, end - begin);
    size_t used = 0;
    double size = 0;
    try {
      size = std::stod(item, &used);
    } catch (const std::exception&) {
      used = 0;
    }
    if (used == 0 || used != item.size() || !(size >= 0 && size <= 1e6))
      fail("--bag-sizes: '{}' is not a number from 0 to 1e6", item);
    sizes.push_back(size);
    begin = end + 1;
  }
  return sizes;
}

/// Whether a word is the second of two.
bool second_of(const cxxopts::ParseResult& arguments, const std::string& key, const std::string& first,
               const std::string& second) {
  const auto word = arguments[key].as<std::string>();
  if (word != first && word != second) fail("--{}: unknown value '{}'; expected: {}, {}", key, word, first, second);
  return word == second;
}

void check(const PlanRequest& request) {
  if (request.topology.empty()) fail("--topology is missing: a file such as configs/topologies/dgx-h100.yaml");
  if (request.counts.empty() == request.tables.empty())
    fail("give --counts DIR or --tables SET (with --distribution LAW for a list)");
  if (!request.counts.empty() && !request.distribution.empty()) fail("--distribution does not go with --counts");
  if (request.sampled && request.counts.empty()) fail("--sampled goes with --counts");
  if (request.model.embedding_dim < 1 || request.model.embedding_dim > kMostWidth)
    fail("--dim: {} is not from 1 to {}", request.model.embedding_dim, kMostWidth);
  if (request.batch < 1 || request.batch > kMostBatch)
    fail("--batch: {} is not from 1 to {}", request.batch, kMostBatch);
  for (const auto& layers : {request.model.bottom, request.model.top})
    for (int64_t width : layers)
      if (width < 1 || width > kMostWidth)
        fail("--bottom, --top: a layer of {} is not from 1 to {}", width, kMostWidth);
  const std::string& strategy = request.strategy;
  if (strategy != "all" && strategy != "optimal" && !placement::parse_strategy(strategy))
    fail(
        "--strategy: unknown value '{}'; expected: all, optimal, held, table_wise, row_wise, replicated, fetched, "
        "hot_cold",
        strategy);
  const std::string& optimizer = request.optimizer;
  if (optimizer != "sgd" && optimizer != "adagrad" && optimizer != "rowwise_adagrad")
    fail("--optimizer: unknown value '{}'; expected: sgd, adagrad, rowwise_adagrad", optimizer);
  if (!request.sweeps.empty() && (request.json || !request.explain.empty() || request.optimize_batch))
    fail("--sweep does not go with --json, --explain or --optimize-batch");
}

PlanRequest read_request(const cxxopts::ParseResult& arguments) {
  const auto text = [&](const char* key) {
    return arguments.count(key) > 0 ? arguments[key].as<std::string>() : std::string();
  };
  PlanRequest request;
  request.topology = text("topology");
  request.counts = text("counts");
  request.sampled = arguments.count("sampled") > 0;
  request.tables = text("tables");
  request.distribution = text("distribution");
  request.batch = arguments["batch"].as<int64_t>();
  request.model.embedding_dim = arguments["dim"].as<int64_t>();
  request.model.bottom = arguments["bottom"].as<std::vector<int64_t>>();
  request.model.top = arguments["top"].as<std::vector<int64_t>>();
  request.multi_hot = text("bag-sizes") == "multi-hot";
  if (arguments.count("bag-sizes") > 0 && !request.multi_hot) request.bag_sizes = parse_bag_sizes(text("bag-sizes"));
  request.optimizer = arguments["optimizer"].as<std::string>();
  request.bf16_wire = second_of(arguments, "wire", "fp32", "bf16");
  request.overlapped = second_of(arguments, "pipeline", "sequential", "overlapped");
  request.combine = arguments.count("no-combine") == 0;
  request.planned_shares = second_of(arguments, "batch-shares", "topology", "planned");
  if (arguments.count("device-memory") > 0) {
    try {
      request.device_memory = parse_bytes(text("device-memory"));
    } catch (const Error& error) {
      fail("--device-memory: {}", error.what());
    }
  }
  request.strategy = arguments["strategy"].as<std::string>();
  request.optimize_batch = arguments.count("optimize-batch") > 0;
  request.explain = text("explain");
  if (arguments.count("sweep") > 0) request.sweeps = arguments["sweep"].as<std::vector<std::string>>();
  request.out = text("out");
  request.json = arguments.count("json") > 0;
  check(request);
  return request;
}

/// cxxopts cuts the values of a list option at commas; the parts of one --sweep belong together.
std::vector<std::string> join_sweeps(const std::vector<std::string>& parts) {
  std::vector<std::string> sweeps;
  for (const std::string& part : parts) {
    if (part.find('=') != std::string::npos || sweeps.empty())
      sweeps.push_back(part);
    else
      sweeps.back() += "," + part;
  }
  return sweeps;
}

}  // namespace

std::optional<PlanRequest> parse_plan_request(int argc, char** argv) {
  cxxopts::Options options = plan_options();
  const cxxopts::ParseResult arguments = options.parse(argc, argv);  // throws, naming the option
  if (arguments.count("help") > 0) {
    fmt::print("{}", options.help());
    return {};
  }
  if (!arguments.unmatched().empty())
    fail("'unknown option '{}'; sparrow plan --help lists them", arguments.unmatched()[0]);
  PlanRequest request = read_request(arguments);
  request.sweeps = join_sweeps(request.sweeps);
  return request;
}

}  // namespace sparrow
