// The scheduler of cuda_emulation.h: grids, blocks, fibers, barriers, warps and asynchronous copies.
#include "cuda_emulation.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda_emulation_memory.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

thread_local uint3 threadIdx, blockIdx;
thread_local dim3 blockDim, gridDim;

// Saves the registers that a call keeps on the stack, leaves its pointer in *from and goes on where `to` was left.
extern "C" void switchFiber(void** from, void* to) asm("relic_switch_fiber");

#if defined(__x86_64__)
asm(R"(
.text
.globl relic_switch_fiber
relic_switch_fiber:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
constexpr size_t kSavedWords = 6, kReturnWord = 6, kFrameWords = 8;
#elif defined(__aarch64__)
asm(R"(
.text
.globl relic_switch_fiber
.p2align 2
relic_switch_fiber:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
constexpr size_t kSavedWords = 20, kReturnWord = 11, kFrameWords = 20;
#else
#error "the CUDA emulator has no fibers for this processor"
#endif

namespace relic::emulation {
namespace {

constexpr size_t kStackBytes = 512 * 1024;
constexpr unsigned kMaxThreads = 1024;
constexpr size_t kMaxShared = 99 * 1024;

struct Copy {
  void* shared;
  const void* global;  // null: clear
};

enum class State { ready, inWarp, inBlock, ended };

struct Fiber {
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  ~Fiber() {
    if (stack) munmap(stack, kStackBytes);
  }

  void* stackPointer = nullptr;
  void* stack = nullptr;
  State state = State::ended;
  Place place;
  uint3 index{};
  int warp = 0, lane = 0;
  // How often this thread met its warp: even and odd meetings use different slots.
  unsigned meetings = 0;
  // Asynchronous copies not yet done, and how many of them each committed group ends at.
  std::vector<Copy> copies;
  std::vector<size_t> groups;
  void* sanitizer = nullptr;
};

struct Warp {
  int first, count;
  int arrived = 0;
  Lane slots[2][32];
};

struct Block {
  std::vector<std::unique_ptr<Fiber>> pool;
  std::vector<Warp> warps;
  size_t threads = 0;
  bool reversed = false;
  GuardedMemory shared;
  void (*thread)(void*) = nullptr;
  void* data = nullptr;
  Place launchedAt;
  Fiber* running = nullptr;
  void* schedulerStack = nullptr;
  const void* mainStack = nullptr;
  size_t mainStackBytes = 0;
  void* sanitizer = nullptr;
};

thread_local Block* block = nullptr;
// Static shared variables are plain statics: one grid runs at a time.
std::mutex gridMutex;

void describe(char* text, size_t room, const Fiber& fiber) {
  std::snprintf(text, room, "thread (%u, %u, %u)", fiber.index.x, fiber.index.y, fiber.index.z);
}

}  // namespace

void fail(const char* what) {
  char text[1200], who[64] = "no thread";
  if (block->running) describe(who, sizeof(who), *block->running);
  const int length =
      std::snprintf(text, sizeof(text), "emulated CUDA: %s; block (%u, %u, %u), %s, launched at %s:%u in %s\n", what,
                    blockIdx.x, blockIdx.y, blockIdx.z, who, block->launchedAt.file_name(),
                    static_cast<unsigned>(block->launchedAt.line()), block->launchedAt.function_name());
  const ssize_t written = write(STDERR_FILENO, text, std::min(sizeof(text) - 1, static_cast<size_t>(length)));
  static_cast<void>(written);
  std::abort();
}

namespace {

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void onFault(int, siginfo_t*, void*) {
  if (block) fail("memory out of bounds");
  signal(SIGSEGV, SIG_DFL);
}

void catchFaults() {
  static const bool done = [] {
    struct sigaction action {};
    action.sa_sigaction = onFault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
    return true;
  }();
  static_cast<void>(done);
}
#else
void catchFaults() {}
#endif

// --- Fibers --------------------------------------------------------------------------------------

void switchTo(void** from, void* to, const void* stack, size_t bytes, void* sanitizer) {
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack, bytes);
#elif defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(sanitizer, 0);
#endif
  switchFiber(from, to);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
  static_cast<void>(stack);
  static_cast<void>(bytes);
  static_cast<void>(sanitizer);
}

void toScheduler() {
  Fiber& fiber = *block->running;
  switchTo(&fiber.stackPointer, block->schedulerStack, block->mainStack, block->mainStackBytes, block->sanitizer);
}

void landCopies(Fiber& fiber, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const Copy& copy = fiber.copies[i];
    if (copy.global) {
      std::memcpy(copy.shared, copy.global, 16);
    } else {
      std::memset(copy.shared, 0, 16);
    }
  }
  fiber.copies.erase(fiber.copies.begin(), fiber.copies.begin() + static_cast<ptrdiff_t>(count));
}

void fiberMain() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &block->mainStack, &block->mainStackBytes);
#endif
  for (;;) {
    block->thread(block->data);
    Fiber& fiber = *block->running;
    // What was not waited for by then, nobody may read.
    fiber.copies.clear();
    fiber.groups.clear();
    fiber.state = State::ended;
    toScheduler();
  }
}

std::unique_ptr<Fiber> createFiber() {
  auto fiber = std::make_unique<Fiber>();
  void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) fail("no memory for a thread's stack");
  fiber->stack = stack;
  void** frame = reinterpret_cast<void**>(static_cast<char*>(fiber->stack) + kStackBytes) - kFrameWords;
  std::fill_n(frame, kSavedWords, nullptr);
  frame[kReturnWord] = reinterpret_cast<void*>(fiberMain);
  fiber->stackPointer = frame;
#if defined(__SANITIZE_THREAD__)
  fiber->sanitizer = __tsan_create_fiber(0);
#endif
  return fiber;
}

void resume(Fiber& fiber) {
  block->running = &fiber;
  threadIdx = fiber.index;
  switchTo(&block->schedulerStack, fiber.stackPointer, fiber.stack, kStackBytes, fiber.sanitizer);
  block->running = nullptr;
}

bool samePlace(const Place& a, const Place& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

// Ends the program: some thread waits for one that ended or waits elsewhere.
[[noreturn]] void failDivergent(const Fiber& waiting, const Fiber& other) {
  char text[700], a[64], b[64], where[300] = "has ended";
  describe(a, sizeof(a), waiting);
  describe(b, sizeof(b), other);
  if (other.state != State::ended) {
    std::snprintf(where, sizeof(where), "waits at %s:%u", other.place.file_name(),
                  static_cast<unsigned>(other.place.line()));
  }
  std::snprintf(text, sizeof(text), "divergent barrier: %s waits at %s:%u but %s %s", a, waiting.place.file_name(),
                static_cast<unsigned>(waiting.place.line()), b, where);
  fail(text);
}

// All threads wait or have ended: lets them pass the barrier that they share.
void passBarrier() {
  const Fiber* waiting = nullptr;
  for (size_t i = 0; i < block->threads && !waiting; i++) {
    if (block->pool[i]->state != State::ended) waiting = block->pool[i].get();
  }
  for (size_t i = 0; i < block->threads; i++) {
    const Fiber& fiber = *block->pool[i];
    if (fiber.state != State::inBlock || !samePlace(fiber.place, waiting->place)) failDivergent(*waiting, fiber);
  }
  if (waiting->state != State::inBlock) fail("a warp waits for lanes that it does not have");
  for (size_t i = 0; i < block->threads; i++) block->pool[i]->state = State::ready;
}

void runBlock() {
  block->shared.poison();
  size_t alive = block->threads;
  for (size_t i = 0; i < block->threads; i++) block->pool[i]->state = State::ready;
  for (Warp& warp : block->warps) warp.arrived = 0;
  while (alive > 0) {
    bool progress = false;
    for (size_t i = 0; i < block->threads; i++) {
      Fiber& fiber = *block->pool[block->reversed ? block->threads - 1 - i : i];
      if (fiber.state != State::ready) continue;
      resume(fiber);
      progress = true;
      if (fiber.state == State::ended) alive--;
    }
    if (!progress) passBarrier();
  }
  if (!block->shared.intact()) fail("memory before the dynamic shared memory was written");
}

}  // namespace

// --- Grids ---------------------------------------------------------------------------------------

cudaError_t checkGrid(dim3 grid, dim3 size, size_t sharedBytes) {
  const uint64_t threads = static_cast<uint64_t>(size.x) * size.y * size.z;
  if (threads == 0 || threads > kMaxThreads || size.z > 64 || sharedBytes > kMaxShared || grid.x == 0 || grid.y == 0 ||
      grid.z == 0 || grid.x > INT32_MAX || grid.y > 65535 || grid.z > 65535) {
    return cudaErrorInvalidConfiguration;
  }
  return cudaSuccess;
}

void runGrid(dim3 grid, dim3 size, size_t sharedBytes, const Place& place, void (*thread)(void*), void* data) {
  const uint64_t threads = static_cast<uint64_t>(size.x) * size.y * size.z;
  const std::lock_guard<std::mutex> lock(gridMutex);
  catchFaults();
  static thread_local Block local;
  block = &local;
  local.thread = thread;
  local.data = data;
  local.launchedAt = place;
  local.threads = threads;
  local.shared.resize(sharedBytes);
#if defined(__SANITIZE_THREAD__)
  local.sanitizer = __tsan_get_current_fiber();
#endif
  blockDim = size;
  gridDim = grid;
  while (local.pool.size() < threads) local.pool.push_back(createFiber());
  local.warps.resize((threads + 31) / 32);
  for (size_t w = 0; w < local.warps.size(); w++) {
    local.warps[w].first = static_cast<int>(w * 32);
    local.warps[w].count = static_cast<int>(std::min<size_t>(32, threads - w * 32));
  }
  for (unsigned i = 0; i < threads; i++) {
    Fiber& fiber = *local.pool[i];
    fiber.index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    fiber.warp = static_cast<int>(i / 32);
    fiber.lane = static_cast<int>(i % 32);
    fiber.meetings = 0;
  }
  for (unsigned z = 0; z < grid.z; z++) {
    for (unsigned y = 0; y < grid.y; y++) {
      for (unsigned x = 0; x < grid.x; x++) {
        blockIdx = {x, y, z};
        local.reversed = (x + y + z) % 2 == 1;
        runBlock();
      }
    }
  }
  block = nullptr;
}

void* dynamicShared() { return block->shared.begin(); }

void syncBlock(const Place& place) {
  Fiber& fiber = *block->running;
  fiber.place = place;
  fiber.state = State::inBlock;
  toScheduler();
}

// --- Warps ---------------------------------------------------------------------------------------

int laneIndex() { return block->running->lane; }
int laneCount() { return block->warps[static_cast<size_t>(block->running->warp)].count; }

const Lane* meetInWarp(unsigned mask, const void* input, size_t bytes, void (*complete)(Lane* lanes, int count),
                       const Place& place) {
  Fiber& fiber = *block->running;
  Warp& warp = block->warps[static_cast<size_t>(fiber.warp)];
  fiber.place = place;
  if (mask != 0xffffffffu) fail("a warp's collective has the mask of a part of the warp");
  // A lane can be one meeting ahead of another that still reads, never two: two sets of slots are enough.
  Lane* lanes = warp.slots[fiber.meetings++ % 2];
  std::memcpy(lanes[fiber.lane].data, input ? input : lanes, bytes);
  if (++warp.arrived < warp.count) {
    fiber.state = State::inWarp;
    toScheduler();
    return lanes;
  }
  warp.arrived = 0;
  for (int i = 0; i < warp.count; i++) {
    Fiber& other = *block->pool[static_cast<size_t>(warp.first + i)];
    if (!samePlace(other.place, place)) failDivergent(fiber, other);
    other.state = State::ready;
  }
  if (complete) complete(lanes, warp.count);
  return lanes;
}

// --- Asynchronous copies -------------------------------------------------------------------------

void copyAsync16(void* shared, const void* global, bool copy, const Place& place) {
  Fiber& fiber = *block->running;
  fiber.place = place;
  if (reinterpret_cast<uintptr_t>(shared) % 16 != 0 || (copy && reinterpret_cast<uintptr_t>(global) % 16 != 0)) {
    fail("an asynchronous copy's address is not a multiple of 16");
  }
  fiber.copies.push_back({shared, copy ? global : nullptr});
  if (block->reversed) landCopies(fiber, 1);
}

void commitCopies() {
  Fiber& fiber = *block->running;
  size_t grouped = 0;
  for (const size_t group : fiber.groups) grouped += group;
  fiber.groups.push_back(fiber.copies.size() - grouped);
}

void waitCopies(int pending) {
  Fiber& fiber = *block->running;
  while (fiber.groups.size() > static_cast<size_t>(pending)) {
    landCopies(fiber, fiber.groups.front());
    fiber.groups.erase(fiber.groups.begin());
  }
}

}  // namespace relic::emulation
