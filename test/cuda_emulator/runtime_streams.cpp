// CUDA runtime: streams, events and host functions.
#include "runtime.hpp"

using namespace sparrow::emulator;

namespace sparrow::emulator {
namespace {

struct EventState {
  std::shared_ptr<Mark> mark;  ///< of the last record; null before
  bool timed = true;
};

EventState* state(cudaEvent_t event) {
  return reinterpret_cast<EventState*>(event);
}

/// The default streams are handles of small numbers.
bool is_created(cudaStream_t stream) {
  return stream != nullptr && stream != cudaStreamLegacy && stream != cudaStreamPerThread;
}

cudaError_t wait_for(const std::shared_ptr<Mark>& mark) {
  if (mark) Streams::instance().run_until(mark);
  return cudaSuccess;
}

cudaError_t query(const std::shared_ptr<Mark>& mark) {
  return !mark || Streams::instance().is_done(mark) ? cudaSuccess : cudaErrorNotReady;
}

}  // namespace

/// The per-thread default stream is the default stream here: one more order than a program may rely on, none less.
Queue* queue_of(cudaStream_t stream) {
  return is_created(stream) ? reinterpret_cast<Queue*>(stream) : Streams::instance().default_queue();
}

}  // namespace sparrow::emulator

extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  if (device_count() < 1) return report(cudaErrorNoDevice);
  *stream = reinterpret_cast<cudaStream_t>(Streams::instance().create(flags, priority, current_device()));
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!is_created(stream)) return report(cudaErrorInvalidResourceHandle);
  Streams::instance().destroy(queue_of(stream));
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return wait_for(Streams::instance().mark(queue_of(stream)));
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return query(Streams::instance().mark(queue_of(stream)));
}
cudaError_t cudaDeviceSynchronize() {
  Streams::instance().run_all();
  return cudaSuccess;
}

cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned* flags) {
  *flags = queue_of(stream)->flags;
  return cudaSuccess;
}
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  *priority = queue_of(stream)->priority;
  return cudaSuccess;
}
cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  *device = queue_of(stream)->device;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least) *least = 0;
  if (greatest) *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  Streams::instance().enqueue(queue_of(stream), [=] {
    function(argument);
    return true;
  });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if (device_count() < 1) return report(cudaErrorNoDevice);
  auto* created = new EventState;
  created->timed = !(flags & cudaEventDisableTiming);
  *event = reinterpret_cast<cudaEvent_t>(created);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete state(event);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (!event) return report(cudaErrorInvalidResourceHandle);
  state(event)->mark = Streams::instance().mark(queue_of(stream));
  return cudaSuccess;
}

/// Waits for the last record before this call; an event that was never recorded has happened.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (!event) return report(cudaErrorInvalidResourceHandle);
  if (state(event)->mark) Streams::instance().enqueue_wait(queue_of(stream), state(event)->mark);
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return event ? wait_for(state(event)->mark) : report(cudaErrorInvalidResourceHandle);
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return event ? query(state(event)->mark) : report(cudaErrorInvalidResourceHandle);
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (!begin || !end || !state(begin)->mark || !state(end)->mark || !state(begin)->timed || !state(end)->timed) {
    return report(cudaErrorInvalidResourceHandle);
  }
  const std::shared_ptr<Mark>&first = state(begin)->mark, &last = state(end)->mark;
  if (!Streams::instance().is_done(first) || !Streams::instance().is_done(last)) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(last->time - first->time).count();
  return cudaSuccess;
}

/// For stand-ins of other libraries, such as the one for NCCL: queues work that is tried until it returns other than 0.
void cudaEmulatorEnqueue(cudaStream_t stream, int (*work)(void*), void* argument) {
  Streams::instance().enqueue(queue_of(stream), [=] { return work(argument) != 0; });
}
}
