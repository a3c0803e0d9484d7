#include "base/locality.hpp"

#include <sched.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/error.hpp"

using namespace sparrow;
namespace fs = std::filesystem;

namespace {

/// A tree like /sys with PCI devices and adapters; removed in the end.
class FakeSys {
 public:
  FakeSys() : root_(fs::temp_directory_path() / ("sparrow_locality_" + std::to_string(getpid()))) {
    fs::create_directories(root_ / "bus/pci/devices");
  }
  ~FakeSys() { fs::remove_all(root_); }
  FakeSys(const FakeSys&) = delete;
  FakeSys& operator=(const FakeSys&) = delete;

  /// A device below the bridges `way`.
  fs::path add_device(const std::string& way, const std::string& pci, const std::string& node = "-1",
                      const std::string& processors = "0") {
    const fs::path path = root_ / "devices" / way / pci;
    fs::create_directories(path);
    std::ofstream(path / "numa_node") << node << '\n';
    std::ofstream(path / "local_cpulist") << processors << '\n';
    fs::create_symlink(path, root_ / "bus/pci/devices" / pci);
    return path;
  }
  void add_adapter(const std::string& kind, const std::string& name, const fs::path& device) {
    fs::create_directories(root_ / "class" / kind / name);
    if (!device.empty()) fs::create_symlink(device, root_ / "class" / kind / name / "device");
  }
  std::string path() const { return root_.string(); }

 private:
  fs::path root_;
};

}  // namespace

TEST_CASE("Lists of processors are read and written as Linux does") {
  CHECK(parse_processors("0-3,8") == std::vector<int>{0, 1, 2, 3, 8});
  CHECK(parse_processors("").empty());
  CHECK(format_processors({0, 1, 2, 3, 8, 10, 11}) == "0-3,8,10-11");
  CHECK(format_processors({}).empty());
  for (const char* wrong : {"a", "3-", "-3", "5-2", "0,,1", "0-99999999999", "1;2", "0-70000"})
    CHECK_THROWS_AS(parse_processors(wrong), Error);
}

TEST_CASE("A device's node, processors and nearest adapters are found") {
  FakeSys sys;
  sys.add_device("pci0000:00/switch_a", "0000:17:00.0", "1", "16-31");
  const fs::path near = sys.add_device("pci0000:00/switch_a", "0000:18:00.0");
  const fs::path far = sys.add_device("pci0000:00/switch_b", "0000:28:00.0");
  sys.add_adapter("net", "eth0", near);
  sys.add_adapter("net", "lo", {});
  const Locality ethernet = locality_of("0000:17:00.0", sys.path());
  CHECK(ethernet.numa_node == 1);
  CHECK(format_processors(ethernet.processors) == "16-31");
  CHECK(ethernet.nearest_adapters == std::vector<std::string>{"eth0"});
  sys.add_adapter("infiniband", "mlx5_1", far);
  CHECK(locality_of("0000:17:00.0", sys.path()).nearest_adapters == std::vector<std::string>{"mlx5_1"});
  sys.add_adapter("infiniband", "mlx5_0", near);
  CHECK(locality_of("0000:17:00.0", sys.path()).nearest_adapters == std::vector<std::string>{"mlx5_0"});
}

TEST_CASE("A device that the machine does not have has no locality") {
  const FakeSys sys;
  const Locality locality = locality_of("0000:99:00.0", sys.path());
  CHECK(locality.numa_node == -1);
  CHECK(locality.processors.empty());
  CHECK(locality.nearest_adapters.empty());
}

TEST_CASE("A process is bound with its threads, and never to processors that it was kept away from") {
  std::thread([] {  // whose own binding is gone with it; that of the other threads is put back
    cpu_set_t before;
    REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
    std::vector<int> allowed;
    for (int p = 0; p < CPU_SETSIZE; ++p)
      if (CPU_ISSET(p, &before)) allowed.push_back(p);
    const int last = allowed.back();
    CHECK(bind_process({last, CPU_SETSIZE - 1}) == std::vector<int>{last});
    cpu_set_t main_thread;
    REQUIRE(sched_getaffinity(getpid(), sizeof main_thread, &main_thread) == 0);
    CHECK(CPU_COUNT(&main_thread) == 1);
    CHECK(CPU_ISSET(last, &main_thread));
    CHECK(bind_process({CPU_SETSIZE - 1}).empty());
    CHECK(sched_setaffinity(getpid(), sizeof before, &before) == 0);
  })
      .join();
}
