// Streams: what is ordered happens in order, and what is not ordered is seen to be so.
#include <array>

#include "test/cuda_emulator/device_array.cuh"

using namespace sparrow::emulator::test;

namespace {

__global__ void set_kernel(int* value, int to) {
  *value = to;
}
__global__ void add_kernel(int* value, int amount) {
  *value += amount;
}
__global__ void copy_kernel(const int* from, int* to) {
  *to = *from;
}

struct Stream {
  Stream() { REQUIRE(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking) == cudaSuccess); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(handle); }
  cudaStream_t handle = nullptr;
};

struct Event {
  Event() { REQUIRE(cudaEventCreateWithFlags(&handle, cudaEventDisableTiming) == cudaSuccess); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(handle); }
  cudaEvent_t handle = nullptr;
};

/// A producer sets a value in one stream, a consumer copies it in another: what the consumer sees, of 40 times.
int times_seen(bool with_event) {
  Stream producer, consumer;
  Event set;
  int seen = 0;
  for (int round = 0; round < 40; ++round) {
    const DeviceArray<int> value({0}), copy({0});
    set_kernel<<<1, 1, 0, producer.handle>>>(value.data(), 1);
    if (with_event) {
      REQUIRE(cudaEventRecord(set.handle, producer.handle) == cudaSuccess);
      REQUIRE(cudaStreamWaitEvent(consumer.handle, set.handle, 0) == cudaSuccess);
    }
    copy_kernel<<<1, 1, 0, consumer.handle>>>(value.data(), copy.data());
    REQUIRE(cudaStreamSynchronize(consumer.handle) == cudaSuccess);
    seen += copy.values()[0];
    REQUIRE(cudaStreamSynchronize(producer.handle) == cudaSuccess);
  }
  return seen;
}

}  // namespace

TEST_CASE("Work of one stream runs in order") {
  Stream stream;
  const DeviceArray<int> value({0});
  std::array<int, 10> seen{};
  for (int i = 0; i < 10; ++i) {
    add_kernel<<<1, 1, 0, stream.handle>>>(value.data(), i);
    REQUIRE(cudaMemcpyAsync(&seen[static_cast<size_t>(i)], value.data(), sizeof(int), cudaMemcpyDeviceToHost,
                            stream.handle) == cudaSuccess);
  }
  REQUIRE(cudaStreamSynchronize(stream.handle) == cudaSuccess);
  CHECK(seen == std::array<int, 10>{0, 1, 3, 6, 10, 15, 21, 28, 36, 45});
}

TEST_CASE("An event orders two streams, and without it the order varies") {
  CHECK(times_seen(true) == 40);
  const int by_chance = times_seen(false);
  CHECK(by_chance > 0);
  CHECK(by_chance < 40);
}

TEST_CASE("Work does not run before the host waits for it") {
  Stream stream;
  const DeviceArray<int> value({0});
  int* pinned = nullptr;
  REQUIRE(cudaMallocHost(reinterpret_cast<void**>(&pinned), sizeof(int)) == cudaSuccess);
  *pinned = -1;
  set_kernel<<<1, 1, 0, stream.handle>>>(value.data(), 3);
  REQUIRE(cudaMemcpyAsync(pinned, value.data(), sizeof(int), cudaMemcpyDeviceToHost, stream.handle) == cudaSuccess);
  CHECK(*pinned == -1);
  REQUIRE(cudaStreamSynchronize(stream.handle) == cudaSuccess);
  CHECK(*pinned == 3);
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
}

TEST_CASE("A wait is for the last record before it") {
  Stream first, second;
  Event event;
  const DeviceArray<int> value({0}), copy({0});
  set_kernel<<<1, 1, 0, first.handle>>>(value.data(), 1);
  REQUIRE(cudaEventRecord(event.handle, first.handle) == cudaSuccess);
  REQUIRE(cudaStreamWaitEvent(second.handle, event.handle, 0) == cudaSuccess);
  REQUIRE(cudaEventRecord(event.handle, second.handle) ==
          cudaSuccess);  // after the wait: must not make it wait for itself
  copy_kernel<<<1, 1, 0, second.handle>>>(value.data(), copy.data());
  REQUIRE(cudaEventSynchronize(event.handle) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(second.handle) == cudaSuccess);
  CHECK(copy.values()[0] == 1);
}

TEST_CASE("The default stream waits for blocking streams and they for it") {
  cudaStream_t blocking = nullptr;
  REQUIRE(cudaStreamCreate(&blocking) == cudaSuccess);
  for (int round = 0; round < 20; ++round) {
    const DeviceArray<int> value({0});
    add_kernel<<<1, 1, 0, blocking>>>(value.data(), 1);
    copy_kernel<<<1, 1>>>(value.data(), value.data());
    set_kernel<<<1, 1, 0, blocking>>>(value.data(), 7);
    REQUIRE(cudaStreamSynchronize(blocking) == cudaSuccess);
    CHECK(value.values()[0] == 7);
  }
  CHECK(cudaStreamDestroy(blocking) == cudaSuccess);
}

TEST_CASE("Asking whether an event has happened makes it happen in the end") {
  Stream stream;
  Event event;
  const DeviceArray<int> value({0});
  for (int i = 0; i < 5; ++i) add_kernel<<<1, 1, 0, stream.handle>>>(value.data(), 1);
  REQUIRE(cudaEventRecord(event.handle, stream.handle) == cudaSuccess);
  CHECK(cudaEventQuery(event.handle) == cudaErrorNotReady);
  while (cudaEventQuery(event.handle) == cudaErrorNotReady) {
  }
  CHECK(value.values()[0] == 5);
}

TEST_CASE("Ordinary host memory is read when a copy is queued") {
  Stream stream;
  const DeviceArray<int> value({0});
  int source = 4;
  REQUIRE(cudaMemcpyAsync(value.data(), &source, sizeof source, cudaMemcpyHostToDevice, stream.handle) == cudaSuccess);
  source = 5;
  REQUIRE(cudaStreamSynchronize(stream.handle) == cudaSuccess);
  CHECK(value.values()[0] == 4);
}

TEST_CASE("Memory is limited, and errors are reported once") {
  void *first = nullptr, *second = nullptr;
  size_t free = 0, total = 0;
  REQUIRE(cudaMemGetInfo(&free, &total) == cudaSuccess);
  CHECK(cudaMalloc(&first, free / 2) == cudaSuccess);
  CHECK(cudaMalloc(&second, free) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaFree(first) == cudaSuccess);
  size_t free_again = 0;
  REQUIRE(cudaMemGetInfo(&free_again, &total) == cudaSuccess);
  CHECK(free_again == free);
  CHECK(cudaMemset(&free, 0, sizeof free) == cudaErrorInvalidValue);  // host memory
  CHECK(cudaSetDevice(100) == cudaErrorInvalidDevice);
  cudaGetLastError();
  set_kernel<<<1, 2000>>>(static_cast<int*>(nullptr), 1);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
}
