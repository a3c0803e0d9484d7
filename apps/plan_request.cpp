// The command line of `sparrow plan`.
#include "plan_request.hpp"

#include <charconv>
#include <cmath>
#include <cxxopts.hpp>

#include "base/error.hpp"
#include "config/options.hpp"
#include "config/quantity.hpp"

namespace sparrow {
namespace {

constexpr int kMostThreads = 4096;
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
  add("locality",
      "profile of how near their rows samples can be brought (sparrow locality; configs/profiles): the plan then "
      "decides "
      "whether they go there",
      text(), "FILE");
  add("assign-threads", "cores of a rank that do nothing but assign samples to ranks; 0: one that computes does it too",
      cxxopts::value<int>()->default_value("0"), "N");
  add("no-combine", "deduplicate per rank only, not at every level of the tree");
  add("batch-shares", "topology, or planned: unequal ranks get parts of the batch that minimise the time",
      text()->default_value("topology"), "HOW");
  add("optimize-batch", "choose the batch size too, from 1/16 to 16 times --batch, for the least time per sample");
  auto shown = options.add_options("Output");
  std::string strategies = "all, optimal";
  for (const placement::Strategy strategy : placement::all_strategies())
    strategies += fmt::format(", {}", placement::strategy_name(strategy));
  shown("strategy", strategies, text()->default_value("all"), "NAME");
  shown("deduplicate", "of a strategy named: distinct rows alone travel, as `train` sends them by default");
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
  if (request.assign_threads < 0 || request.assign_threads > kMostThreads)
    fail("--assign-threads: {} is not from 0 to {}", request.assign_threads, kMostThreads);
  for (const auto& layers : {request.model.bottom, request.model.top})
    for (int64_t width : layers)
      if (width < 1 || width > kMostWidth)
        fail("--bottom, --top: a layer of {} is not from 1 to {}", width, kMostWidth);
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
  if (arguments.count("bag-sizes") > 0 && !request.multi_hot)
    for (const std::string& size : split_at_commas(text("bag-sizes")))
      request.bag_sizes.push_back(parse_number("--bag-sizes", size, 0, 1e6));
  request.optimizer = parse_word<OptimizerKind>("--optimizer", arguments["optimizer"].as<std::string>());
  request.wire = parse_word<DType>("--wire", arguments["wire"].as<std::string>());
  request.overlapped = second_of(arguments, "pipeline", "sequential", "overlapped");
  request.locality = text("locality");
  request.assign_threads = arguments["assign-threads"].as<int>();
  request.combine = arguments.count("no-combine") == 0;
  request.deduplicate = arguments.count("deduplicate") > 0;
  request.planned_shares = second_of(arguments, "batch-shares", "topology", "planned");
  if (arguments.count("device-memory") > 0) {
    try {
      request.device_memory = parse_bytes(text("device-memory"));
    } catch (const Error& error) {
      fail("--device-memory: {}", error.what());
    }
  }
  const auto strategy = arguments["strategy"].as<std::string>();
  request.all_strategies = strategy == "all";
  if (!request.all_strategies)
    request.strategy = parse_word<std::optional<placement::Strategy>>("--strategy", strategy);
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

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0, end = 0; begin <= text.size(); begin = end + 1) {
    end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
  }
  return parts;
}

double parse_number(const std::string& name, const std::string& text, double least, double most) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= least && value <= most))
    fail("{}: '{}' is not a number from {} to {}", name, text, least, most);
  return value;
}

int64_t parse_whole(const std::string& name, const std::string& text, double least, double most) {
  const double value = parse_number(name, text, least, most);
  if (value != std::floor(value)) fail("{}: '{}' is not a whole number", name, text);
  return static_cast<int64_t>(value);
}

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
