// Memory that several processes share.
#include "base/shared_memory.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <limits>
#include <optional>

#include "base/host_memory.hpp"
#include "test/support/error_of.hpp"

using namespace sparrow;
using sparrow::test::error_of;

TEST_CASE("WhatOneProcessWritesAnotherReads") {
  SharedMemory memory = SharedMemory::create(10000);
  CHECK(memory.data().get()[9999] == std::byte{0});
  const std::string path = memory.path();
  const pid_t child = fork();
  if (child == 0) {
    const SharedMemory same = SharedMemory::open(path, 10000);
    const bool found = same.data().get()[1] == std::byte{0};
    same.data().get()[9999] = std::byte{7};
    _exit(found ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(memory.data().get()[9999] == std::byte{7});
}

TEST_CASE("MemoryStaysAsLongAsSomebodyHasIt") {
  std::optional<SharedMemory> memory(SharedMemory::create(5000));
  const std::string path = memory->path();
  const std::shared_ptr<std::byte> mine = SharedMemory::open(path, 5000).data();
  const std::shared_ptr<std::byte> made = memory->data();
  memory.reset();
  made.get()[4999] = std::byte{3};
  CHECK(mine.get()[4999] == std::byte{3});
  CHECK(error_of([&] { SharedMemory::open(path, 5000); }).find(path) == 0);
}

TEST_CASE("MemoryThatIsNotThereIsAnErrorAtOnce") {
  const auto too_much = static_cast<size_t>(available_memory()) * 4;
  CHECK(error_of([&] { SharedMemory::create(too_much); }).find("no memory for") == 0);
  CHECK(error_of([&] { zeroed_memory(std::numeric_limits<size_t>::max() / 2); }).find("no memory for") == 0);
  const SharedMemory small = SharedMemory::create(100);
  CHECK(error_of([&] { SharedMemory::open(small.path(), 100000); }).find("100000 bytes") != std::string::npos);
}

TEST_CASE("ZeroedMemoryOfManyGigabytesTakesNone") {
  const int64_t before = available_memory();
  const auto bytes = static_cast<size_t>(before) / 2;
  const std::shared_ptr<std::byte> memory = zeroed_memory(bytes);
  CHECK(memory.get()[bytes - 1] == std::byte{0});
  CHECK(available_memory() > before - before / 4);
}
