// Times every kernel of the CUDA backend on the GPU, beside its roofline and, for the products, cuBLAS:
//   cuda_bench [--batch 4096] [--dim 128] [--rows 4000000] [--repeats 20] [--json FILE] [--markdown FILE] [--tiny]
// A time is the median of the repeats by CUDA events. The memory rate is what a copy kernel of the driver reaches here,
// the arithmetic rates are the units' number times the clock (theoretical). Exits 77 where there is no GPU.
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cxxopts.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/subnormals.hpp"
#include "kernels/cuda/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "test/bench/cublas_products.hpp"
#include "test/bench/kernel_cases.hpp"
#include "test/bench/roofline.hpp"

namespace {

using namespace sparrow;
using namespace sparrow::bench;

constexpr int kNoDevice = 77;

/// Two events around work on a stream.
class StopWatch {
 public:
  StopWatch() {
    SPARROW_CUDA(cudaEventCreate(&begin_));
    SPARROW_CUDA(cudaEventCreate(&end_));
  }
  ~StopWatch() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  StopWatch(const StopWatch&) = delete;
  StopWatch& operator=(const StopWatch&) = delete;

  double seconds(cudaStream_t stream, const std::function<void()>& work) {
    SPARROW_CUDA(cudaEventRecord(begin_, stream));
    work();
    SPARROW_CUDA(cudaEventRecord(end_, stream));
    SPARROW_CUDA(cudaEventSynchronize(end_));
    float milliseconds = 0;
    SPARROW_CUDA(cudaEventElapsedTime(&milliseconds, begin_, end_));
    return milliseconds * 1e-3;
  }

 private:
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

double median_seconds(cudaStream_t stream, int repeats, const std::function<void()>& work) {
  StopWatch watch;
  watch.seconds(stream, work);  // the first run loads code and grows scratch space
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) seconds.push_back(watch.seconds(stream, work));
  std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
  return seconds[repeats / 2];
}

/// Bytes read and written a second by a copy of `bytes` from device memory to device memory.
double copy_rate(Backend& backend, Stream& stream, int64_t bytes, int repeats) {
  const Buffer from(backend, Memory::device, bytes), to(backend, Memory::device, bytes);
  backend.zero(stream, from.data(), bytes);
  const double seconds =
      median_seconds(cuda::handle(stream), repeats, [&] { backend.copy(stream, to.data(), from.data(), bytes); });
  return 2.0 * static_cast<double>(bytes) / seconds;
}

/// Units of a multiprocessor: multiply-adds a clock, dense. NVIDIA's white papers of the A100, H100 and B200.
PeakRates peak_rates(int device, double bytes_per_s) {
  int major = 0, multiprocessors = 0, kilohertz = 0;
  SPARROW_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  SPARROW_CUDA(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device));
  SPARROW_CUDA(cudaDeviceGetAttribute(&kilohertz, cudaDevAttrClockRate, device));
  const double clock = 2.0 * multiprocessors * std::max(1, kilohertz) * 1e3;
  const double bf16 = major >= 10 ? 4096 : major == 9 ? 2048 : 1024;
  return {bytes_per_s, (major == 8 ? 64 : 128) * clock, bf16 / 2 * clock, bf16 * clock, (major == 8 ? 32 : 64) * clock};
}

struct Row {
  const KernelCase* kernel;
  double seconds, roofline;
  const char* bound_by;
  double cublas = 0;  ///< seconds; 0: not measured
};

struct Report {
  cudaDeviceProp device{};
  PeakRates peak;
  std::string cublas;  ///< why not, or its version
  std::vector<Row> rows;
};

Report measure(const std::vector<KernelCase>& kernels, int repeats, int64_t copy_bytes) {
  Report report;
  SPARROW_CUDA(cudaGetDeviceProperties(&report.device, 0));
  cuda::CudaBackend backend(0, false, 0);
  const auto stream = backend.make_stream();
  report.peak = peak_rates(0, copy_rate(backend, *stream, copy_bytes, repeats));
  CublasProducts cublas(cuda::handle(*stream));
  report.cublas = cublas.status();
  for (const KernelCase& kernel : kernels) {
    const Roofline roofline = roofline_of(kernel.work, report.peak);
    Row row{&kernel, 0, roofline.seconds, roofline.bound_by};
    {
      const auto operation = kernel.prepare(backend, *stream);
      row.seconds = median_seconds(cuda::handle(*stream), repeats, operation);
    }
    if (kernel.gemm && cublas.usable()) {
      const auto product = cublas.prepare(backend, *kernel.gemm, kernel.type);
      row.cublas = median_seconds(cuda::handle(*stream), repeats, product);
    }
    report.rows.push_back(row);
  }
  return report;
}

std::string markdown(const Report& report) {
  const PeakRates& p = report.peak;
  std::string text = fmt::format(
      "## Kernels on {} (compute capability {}.{}, {} multiprocessors)\n\nMemory: {:.0f} GB/s by a copy. Arithmetic by "
      "units "
      "and clock, Tflop/s: bf16 {:.0f}, tf32 {:.0f}, fp32 {:.0f}, fp64 {:.0f}. cuBLAS: {}.\n\n"
      "| operation | shape | us | roofline us | of roofline | bound by | cuBLAS us |\n|---|---|---|---|---|---|---|\n",
      report.device.name, report.device.major, report.device.minor, report.device.multiProcessorCount,
      p.bytes_per_s / 1e9, p.bf16 / 1e12, p.tf32 / 1e12, p.fp32 / 1e12, p.fp64 / 1e12, report.cublas);
  for (const Row& row : report.rows)
    text += fmt::format("| {} | {} | {:.2f} | {:.2f} | {:.0f} % | {} | {} |\n", row.kernel->name, row.kernel->shape,
                        row.seconds * 1e6, row.roofline * 1e6, 100 * row.roofline / row.seconds, row.bound_by,
                        row.cublas > 0 ? fmt::format("{:.2f}", row.cublas * 1e6) : "");
  return text;
}

std::string json(const Report& report) {
  nlohmann::json rows = nlohmann::json::array();
  for (const Row& row : report.rows) {
    nlohmann::json entry{{"operation", row.kernel->name},   {"shape", row.kernel->shape},
                         {"bytes", row.kernel->work.bytes}, {"flops", row.kernel->work.flops},
                         {"seconds", row.seconds},          {"roofline_seconds", row.roofline},
                         {"bound_by", row.bound_by}};
    if (row.cublas > 0) entry["cublas_seconds"] = row.cublas;
    rows.push_back(std::move(entry));
  }
  const nlohmann::json all{{"device", report.device.name},
                           {"copy_bytes_per_second", report.peak.bytes_per_s},
                           {"cublas", report.cublas},
                           {"kernels", rows}};
  return all.dump(1) + "\n";
}

void write(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text << std::flush;
  if (!file) fail_errno(path);
}

std::string describe(int device) {
  cudaDeviceProp properties{};
  SPARROW_CUDA(cudaGetDeviceProperties(&properties, device));
  return fmt::format("GPU {}: {}, compute capability {}.{}, {:.0f} MiB", device, properties.name, properties.major,
                     properties.minor, static_cast<double>(properties.totalGlobalMem) / (1 << 20));
}

int run(int argc, char** argv) {
  cxxopts::Options options("cuda_bench", "Times the kernels of the CUDA backend.");
  options.add_options()("batch", "samples", cxxopts::value<int64_t>()->default_value("4096"))(
      "dim", "elements of a row", cxxopts::value<int64_t>()->default_value("128"))(
      "rows", "of the store", cxxopts::value<int64_t>()->default_value("4000000"))(
      "repeats", "of which the median counts", cxxopts::value<int>()->default_value("20"))(
      "json", "report", cxxopts::value<std::string>())("markdown", "report", cxxopts::value<std::string>())(
      "tiny", "a small model: shows that everything runs")("devices", "only list the GPUs, one a line")("h,help",
                                                                                                        "this text");
  const auto parsed = options.parse(argc, argv);
  if (parsed.count("help") > 0) {
    fmt::print("{}", options.help());
    return 0;
  }
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess || devices == 0) {
    fmt::print("skipped: no GPU: {}\n", status == cudaSuccess ? "none is visible" : cudaGetErrorString(status));
    return kNoDevice;
  }
  if (parsed.count("devices") > 0) {
    for (int device = 0; device < devices; ++device) fmt::print("{}\n", describe(device));
    return 0;
  }
  CaseShapes shapes;
  shapes.batch = parsed["batch"].as<int64_t>();
  shapes.dim = parsed["dim"].as<int64_t>();
  shapes.rows = parsed["rows"].as<int64_t>();
  int repeats = parsed["repeats"].as<int>();
  int64_t copy_bytes = int64_t{1} << 30;
  if (parsed.count("tiny") > 0) {
    shapes = {16, 8, 26, {13, 16, 8}, {359, 16, 1}, 0.2, 500};
    repeats = 1;
    copy_bytes = 1 << 20;
  }
  if (shapes.batch < 1 || shapes.dim < 1 || shapes.rows < 1 || repeats < 1) fail("sizes and repeats are at least 1");
  const std::vector<KernelCase> kernels = kernel_cases(shapes);
  const Report report = measure(kernels, repeats, copy_bytes);
  fmt::print("{}", markdown(report));
  if (parsed.count("markdown") > 0) write(parsed["markdown"].as<std::string>(), markdown(report));
  if (parsed.count("json") > 0) write(parsed["json"].as<std::string>(), json(report));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const sparrow::SubnormalMode mode(sparrow::Subnormals::flush);
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "cuda_bench: {}\n", error.what());
    return 1;
  }
}
