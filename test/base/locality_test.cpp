#include "base/locality.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace sparrow;
namespace fs = std::filesystem;

namespace {

/// What hwloc takes for this machine: two packages, of processor `first` and of `first` + 32, each with its memory.
/// Beside the first one a GPU and `near` on one switch, `far` on another one; beside the second one a GPU alone.
class FakeMachine {
 public:
  FakeMachine(int first, const std::string& near, const std::string& far)
      : path_(fs::temp_directory_path() / fmt::format("sparrow_locality_{}.xml", getpid())) {
    const std::string word = fmt::format("0x{:08x}", 1u << (first % 32));
    std::string zeros;
    for (int i = 0; i < first / 32; ++i) zeros += ",0x00000000";
    const std::string switches = bridge(0, "0-1", 0) + bridge(1, "1-1", 0x10) + gpu(0x17) + near + "</object>" +
                                 bridge(1, "1-1", 0x20) + far + "</object></object>";
    std::ofstream(path_) << R"(<?xml version="1.0"?><!DOCTYPE topology SYSTEM "hwloc2.dtd"><topology version="2.0">)"
                         << object("Machine", 0, word + "," + word + zeros, "0x3")
                         << package(0, first, word + zeros, switches)
                         << package(1, first + 32, word + ",0x00000000" + zeros,
                                    bridge(0, "0-1", 0x97) + gpu(0x97) + "</object>")
                         << "</object></topology>\n";
    setenv("HWLOC_XMLFILE", path_.c_str(), 1);
  }
  ~FakeMachine() {
    unsetenv("HWLOC_XMLFILE");
    fs::remove(path_);
  }
  FakeMachine(const FakeMachine&) = delete;
  FakeMachine& operator=(const FakeMachine&) = delete;

  static std::string adapter(int bus, int kind, const std::string& name) {
    return device(bus, 0x200) + fmt::format(R"(<object type="OSDev" name="{}" osdev_type="{}"/></object>)", name, kind);
  }

 private:
  static std::string object(const std::string& type, int number, const std::string& cpus, const std::string& nodes) {
    return fmt::format(R"(<object type="{}" os_index="{}" cpuset="{}" complete_cpuset="{}" allowed_cpuset="{}" )", type,
                       number, cpus, cpus, cpus) +
           fmt::format(R"(nodeset="{}" complete_nodeset="{}" allowed_nodeset="{}">)", nodes, nodes, nodes);
  }
  static std::string package(int number, int processor, const std::string& cpus, const std::string& devices) {
    const std::string node = fmt::format("0x{:x}", 1 << number);
    return object("Package", number, cpus, node) + object("NUMANode", number, cpus, node) + "</object>" +
           object("PU", processor, cpus, node) + "</object>" + devices + "</object>";
  }
  static std::string bridge(int depth, const std::string& type, int bus) {
    return fmt::format(R"(<object type="Bridge" bridge_type="{}" depth="{}" bridge_pci="0000:[{:02x}-{:02x}]" )", type,
                       depth, bus, bus + 15) +
           fmt::format(R"(pci_busid="0000:{:02x}:01.0" pci_type="0604 [8086:1234] [0000:0000] 00">)", bus);
  }
  static std::string device(int bus, int kind) {
    return fmt::format(
        R"(<object type="PCIDev" pci_busid="0000:{:02x}:00.0" pci_type="{:04x} [10de:2330] [10de:16c1] a1">)", bus,
        kind);
  }
  static std::string gpu(int bus) { return device(bus, 0x302) + "</object>"; }

  fs::path path_;
};

constexpr int kEthernet = 2, kInfiniBand = 3;

}  // namespace

TEST_CASE("A device's node, processors and nearest adapters are found") {
  const std::string eth0 = FakeMachine::adapter(0x18, kEthernet, "eth0");
  {
    const FakeMachine machine(5, eth0, FakeMachine::adapter(0x28, kEthernet, "eth1"));
    const Locality near = bind_near("0000:17:00.0");
    CHECK(near.numa_node == 0);
    CHECK(near.processors == "5");
    CHECK(near.nearest_adapters == std::vector<std::string>{"eth0"});
    const Locality other = bind_near("0000:97:00.0");
    CHECK(other.numa_node == 1);
    CHECK(other.processors == "37");
    CHECK(other.nearest_adapters == std::vector<std::string>{"eth0", "eth1"});
  }
  {
    const FakeMachine machine(5, eth0, FakeMachine::adapter(0x28, kInfiniBand, "mlx5_1"));
    CHECK(bind_near("0000:17:00.0").nearest_adapters == std::vector<std::string>{"mlx5_1"});
  }
  const FakeMachine machine(5, eth0 + FakeMachine::adapter(0x19, kInfiniBand, "mlx5_0"),
                            FakeMachine::adapter(0x28, kInfiniBand, "mlx5_1"));
  CHECK(bind_near("0000:17:00.0").nearest_adapters == std::vector<std::string>{"mlx5_0"});
}

TEST_CASE("A device that the machine does not have has no locality") {
  for (const char* pci : {"0000:99:00.0", "no address"}) {
    const Locality locality = bind_near(pci);
    CHECK(locality.numa_node == -1);
    CHECK(locality.processors.empty());
    CHECK(locality.bound.empty());
    CHECK(locality.nearest_adapters.empty());
  }
}

TEST_CASE("A process is bound with its threads, and never to processors that it was kept away from") {
  std::thread([] {  // whose own binding is gone with it; that of the other threads is put back
    cpu_set_t before;
    REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
    int last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &before)) --last;
    const FakeMachine machine(last, "", "");
    setenv("HWLOC_THISSYSTEM", "1", 1);  // bind as if it were true
    const Locality beside = bind_near("0000:17:00.0");
    CHECK(beside.bound == std::to_string(last));
    cpu_set_t main_thread;
    REQUIRE(sched_getaffinity(getpid(), sizeof main_thread, &main_thread) == 0);
    CHECK(CPU_COUNT(&main_thread) == 1);
    CHECK(CPU_ISSET(last, &main_thread));
    const Locality forbidden = bind_near("0000:97:00.0");
    CHECK(forbidden.processors == std::to_string(last + 32));
    CHECK(forbidden.bound.empty());
    REQUIRE(sched_getaffinity(getpid(), sizeof main_thread, &main_thread) == 0);
    CHECK(CPU_ISSET(last, &main_thread));
    unsetenv("HWLOC_THISSYSTEM");
    CHECK(sched_setaffinity(getpid(), sizeof before, &before) == 0);
  })
      .join();
}
