// Streams, events and graphs of cuda_emulation.h. What a stream is given waits in a queue until it has to be done, or is
// done at once where nothing is in front of it: both are what a GPU may do.
#include <atomic>
#include <chrono>
#include <thread>

#include "cuda_emulation.h"
#include "cuda_emulation_memory.h"
#include "cuda_emulation_streams.h"

using Work = std::function<void()>;

// The last record, and the stream that has to come to it.
struct EmulatedEvent {
  cudaStream_t stream = nullptr;
  int64_t recorded = 0, passed = 0;
};

struct EmulatedGraph {
  std::vector<Work> works;
};

namespace relic::emulation {
namespace {

std::atomic<int> broken{cudaSuccess}, nextFault{cudaSuccess};
std::atomic<int64_t> launchesLeft{0}, launchCount{0};
// Streams belong to the thread that uses them.
thread_local unsigned streamCount = 0;
thread_local cudaStream_t capturingStream = nullptr;

// False where the work in front waits for something that has not happened.
bool doNext(cudaStream_t stream) {
  EmulatedStream::Item& front = stream->queue.front();
  if (front.ready && !front.ready()) return false;
  const Work work = std::move(front.work);
  stream->queue.pop_front();
  work();
  return true;
}

void advance(cudaStream_t stream) {
  while (!stream->queue.empty() && doNext(stream)) continue;
}

bool tryReach(cudaEvent_t event, int64_t record) {
  while (event->passed < record && doNext(event->stream)) continue;
  return event->passed >= record;
}

// Other threads bring about what is waited for.
template <typename Done>
void until(const Done& done) {
  while (!done()) std::this_thread::sleep_for(std::chrono::microseconds(50));
}

void drain(cudaStream_t stream) {
  until([stream] {
    advance(stream);
    return stream->queue.empty();
  });
}

cudaError_t giveGated(cudaStream_t stream, std::function<bool()> ready, Work work) {
  if (fault() != cudaSuccess) return fault();
  stream->queue.push_back({std::move(ready), std::move(work)});
  if (stream->eager) advance(stream);
  return cudaSuccess;
}

cudaError_t give(cudaStream_t stream, Work work) {
  if (fault() != cudaSuccess) return fault();
  if (stream == nullptr) {
    work();
  } else if (stream->capturing) {
    stream->captured.push_back(std::move(work));
  } else {
    return giveGated(stream, nullptr, std::move(work));
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t fault() { return static_cast<cudaError_t>(broken.load()); }

bool refusesWhileCapturing() {
  if (capturingStream == nullptr) return false;
  capturingStream->invalid = true;
  return true;
}

void injectFault(cudaError_t error, int64_t launches) {
  nextFault = error;
  launchesLeft = launches;
  if (error == cudaSuccess || launches == 0) broken = error;
}

int64_t launches() { return launchCount; }

cudaError_t enqueue(cudaStream_t stream, Work work) {
  if (stream == nullptr || !stream->capturing) {
    launchCount++;
    if (nextFault != cudaSuccess && --launchesLeft < 0) broken = nextFault.load();
  }
  return give(stream, std::move(work));
}

}  // namespace relic::emulation

using namespace relic::emulation;

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return give(stream, [=] { cudaMemcpy(to, from, bytes, kind); });
}
cudaError_t cudaMemsetAsync(void* memory, int byte, size_t bytes, cudaStream_t stream) {
  return give(stream, [=] { cudaMemset(memory, byte, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  // Of two streams that are made together all four combinations come, one after another.
  constexpr bool kEager[] = {false, true, true, false, false, false, true, true};
  *stream = new EmulatedStream{giveGated, kEager[streamCount++ % 8], {}, false, false, {}};
  return fault();
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return fault();
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (refusesWhileCapturing()) return cudaErrorStreamCaptureUnsupported;
  if (stream != nullptr && fault() == cudaSuccess) drain(stream);
  return fault();
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const int64_t record = event->recorded;
  // Within a graph other streams are not waited for.
  if (stream == nullptr || stream->capturing) {
    return give(stream, [=] { until([=] { return tryReach(event, record); }); });
  }
  return giveGated(stream, [=] { return tryReach(event, record); }, [] {});
}
cudaError_t cudaDeviceSynchronize() { return fault(); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EmulatedEvent;
  return fault();
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = stream;
  const int64_t record = ++event->recorded;
  return give(stream, [event, record] { event->passed = record; });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (refusesWhileCapturing()) return cudaErrorStreamCaptureUnsupported;
  if (fault() == cudaSuccess) until([event] { return tryReach(event, event->recorded); });
  return fault();
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (fault() != cudaSuccess) return fault();
  return tryReach(event, event->recorded) ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return fault();
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (fault() != cudaSuccess) return fault();
  if (stream == nullptr || capturingStream != nullptr) return cudaErrorStreamCaptureUnsupported;
  stream->capturing = true;
  stream->invalid = false;
  stream->captured.clear();
  capturingStream = stream;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  stream->capturing = false;
  capturingStream = nullptr;
  *graph = nullptr;
  if (fault() != cudaSuccess) return fault();
  if (stream->invalid) return cudaErrorStreamCaptureInvalidated;
  *graph = new EmulatedGraph{std::move(stream->captured)};
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* instance, cudaGraph_t graph, unsigned long long) {
  *instance = new EmulatedGraph{*graph};
  return fault();
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t instance, cudaStream_t stream) {
  return enqueue(stream, [works = instance->works] {
    for (const Work& work : works) work();
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return fault();
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t instance) {
  delete instance;
  return fault();
}
