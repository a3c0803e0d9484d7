#include "backend_choice.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/locality.hpp"
#include "comm/collectives.hpp"
#include "comm/mpi_comm.hpp"
#include "exchange/self_comm.hpp"
#include "kernels/cuda_module.hpp"
#include "train/device_choice.hpp"

namespace sparrow {

namespace {

FoundDevices find_devices(const SystemOptions& system, const MpiRuntime& mpi, std::vector<CudaDevice>& devices) {
  FoundDevices found;
  found.node = mpi.node();
  if (system.backend == BackendChoice::host) return found;
  try {
    if (mpi.size() > 1) find_nccl();  // without it, GPUs are of no use to several ranks
    devices = list_cuda_devices();
    for (const CudaDevice& device : devices) found.devices.push_back(device.uuid);
  } catch (const Error& error) {
    found.why_none = error.what();
  }
  return found;
}

/// Memory of a GPU is reached, and its kernels are started, fastest from the processors beside it.
void bind_to(const CudaDevice& device, int number) {
  const Locality locality = bind_near(device.pci);
  std::string text = fmt::format("GPU {}: {} ({}), {:.1f} GiB", number, device.name, device.pci,
                                 static_cast<double>(device.memory_bytes) / (1 << 30));
  if (locality.numa_node >= 0) text += fmt::format(", NUMA node {}", locality.numa_node);
  text += locality.processors.empty() ? ", nearest processors unknown"
          : locality.bound.empty() ? fmt::format("; this process may not run on its processors {}", locality.processors)
                                   : fmt::format("; threads bound to processors {}", locality.bound);
  if (!locality.nearest_adapters.empty())
    text += fmt::format("; nearest network adapter {} (UCX and NCCL choose for themselves)",
                        fmt::join(locality.nearest_adapters, ", "));
  spdlog::info("{}", text);
}

}  // namespace

ChosenBackend choose_backend(const SystemOptions& system, MpiRuntime& mpi, Comm& comm) {
  std::vector<CudaDevice> devices;
  std::vector<FoundDevices> found;
  for (const std::string& text : all_gather(comm, write_found(find_devices(system, mpi, devices))))
    found.push_back(parse_found(text));
  const DeviceChoice choice = choose_devices(system.backend, found);
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const int threads = system.threads > 0 ? system.threads : std::max(1, cores / mpi.ranks_on_cores());
  if (mpi.rank() == 0)
    spdlog::info("{} rank{} on {} node{}, {} backend with {} host thread{} per rank ({})", mpi.size(),
                 mpi.size() == 1 ? "" : "s", mpi.nodes(), mpi.nodes() == 1 ? "" : "s", choice.cuda ? "cuda" : "host",
                 threads, threads == 1 ? "" : "s", choice.why);
  ChosenBackend chosen;
  if (choice.cuda) {
    CudaOptions options;
    options.device = choice.device[mpi.rank()];
    options.arena_bytes = system.device_memory > 0 ? system.device_memory : kFreeMemory;
    bind_to(devices[options.device], options.device);
    chosen.cuda = make_cuda_backend(options);
    if (mpi.size() > 1) {
      chosen.device_comm = make_nccl_comm(make_mpi_comm(mpi, system.timeout));
    } else {
      chosen.device_comm = std::make_unique<SelfComm>(*chosen.cuda);
    }
  }
  chosen.host_threads = threads;
  chosen.host = make_host_backend(threads);  // its threads begin after the process was bound
  return chosen;
}

}  // namespace sparrow
