#include "train/device_choice.hpp"

#include <catch2/catch.hpp>

#include "base/error.hpp"

using namespace sparrow;
using Catch::Matchers::Contains;

namespace {
const std::vector<std::string> kTwo{"a", "b"};
}

TEST_CASE("Ranks of a node take its GPUs in order") {
  const DeviceChoice choice =
      choose_devices(BackendChoice::automatic, {{0, kTwo, ""}, {1, kTwo, ""}, {0, kTwo, ""}, {1, kTwo, ""}});
  CHECK(choice.cuda);
  CHECK(choice.device == std::vector<int>{0, 0, 1, 1});
  CHECK_THAT(choice.why, Contains("every rank has a GPU"));
}

TEST_CASE("Ranks that were given a GPU each use it under their own number") {
  const DeviceChoice choice = choose_devices(BackendChoice::cuda, {{0, {"a"}, ""}, {0, {"b"}, ""}});
  CHECK(choice.device == std::vector<int>{0, 0});
}

TEST_CASE("More ranks on a node than GPUs are an error, and host under auto") {
  const std::vector<FoundDevices> three{{0, kTwo, ""}, {0, kTwo, ""}, {0, kTwo, ""}};
  CHECK_THROWS_WITH(choose_devices(BackendChoice::cuda, three), Contains("node 0 has 3 ranks") && Contains("2 GPUs"));
  const DeviceChoice choice = choose_devices(BackendChoice::automatic, three);
  CHECK_FALSE(choice.cuda);
  CHECK_THAT(choice.why, Contains("3 ranks"));
  // Two ranks whose lists overlap would both take b.
  CHECK_THROWS_AS(choose_devices(BackendChoice::cuda, {{0, {"b"}, ""}, {0, {"b", "a"}, ""}}), Error);
}

TEST_CASE("A single rank without a GPU decides for all") {
  const std::vector<FoundDevices> ranks{{0, kTwo, ""}, {1, {}, "no CUDA device: insufficient driver"}};
  CHECK_THROWS_WITH(choose_devices(BackendChoice::cuda, ranks), Contains("rank 1") && Contains("insufficient driver"));
  const DeviceChoice choice = choose_devices(BackendChoice::automatic, ranks);
  CHECK_FALSE(choice.cuda);
  CHECK_THAT(choice.why, Contains("rank 1: no CUDA device: insufficient driver"));
}

TEST_CASE("The host backend needs no GPU, and takes none") {
  const DeviceChoice choice = choose_devices(BackendChoice::host, {{0, kTwo, ""}});
  CHECK_FALSE(choice.cuda);
}

TEST_CASE("Findings survive being sent") {
  const FoundDevices found = parse_found(write_found({3, kTwo, "because of \"this\"\n"}));
  CHECK(found.node == 3);
  CHECK(found.devices == kTwo);
  CHECK(found.why_none == "because of \"this\"\n");
}
