// A steady step allocates nothing: every operator new of the process is counted, and Model::memory() knows what the arenas
// take from the system.
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "check.h"
#include "cpu/model.h"
#include "encoded_program.h"

namespace {

std::atomic<long> allocations{0};

void* counted(size_t bytes, size_t alignment) {
  allocations.fetch_add(1);
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
void* operator new(size_t bytes, std::align_val_t alignment) { return counted(bytes, static_cast<size_t>(alignment)); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace relic {
namespace {

constexpr int64_t kPairCount = 6;

// Steps and scorings over batches of other lengths each time, with and without mining of hard examples.
class Work {
 public:
  explicit Work(Model& model) : model_(model) {}

  bool train() {
    bool good = true;
    for (uint32_t step = 0; step < 8; step++) {
      const BatchView batch = batchOf(step);
      const ShardView shards[] = {{batch, {1, 2}}, {batch, {3, 4}}};
      const bool hard = step % 2 == 1;
      ShardLoss losses[2];
      good = model_.trainStep(shards, 2, {step, 1e-3, 0.9, hard, 0.5, 1}, losses).ok() && good;
    }
    return good;
  }
  bool score() {
    bool good = true;
    for (uint32_t step = 0; step < 8; step++) good = model_.evaluate(batchOf(step), logits_, losses_).ok() && good;
    return good;
  }

 private:
  BatchView batchOf(uint32_t step) const { return {kPairCount - step % 3, a_ + step, b_ + step, labels_}; }

  Model& model_;
  const int32_t a_[16] = {0, 2, 4, 1, 3, 0, 2, 4, 1, 3, 0, 2, 4, 1, 3, 0};
  const int32_t b_[16] = {4, 3, 2, 1, 0, 4, 3, 2, 1, 0, 4, 3, 2, 1, 0, 4};
  const float labels_[kPairCount] = {1, 0, 1, 0, 1, 0};
  float logits_[kPairCount], losses_[kPairCount];
};

void testModel(Checker& check, int threads, int optimizer) {
  const std::string name = " with " + std::to_string(threads) + " thread(s), optimizer " + std::to_string(optimizer);
  const Words program = everyOp(), gradients = everyGradient();
  const std::vector<int32_t> lengths = {40, 3, 90, 17, 61};
  int64_t rows = 0;
  for (const int32_t length : lengths) rows += length;
  const auto store = makeMemoryStore(static_cast<int64_t>(kDim), lengths, Random(3).values(rows * 3));
  CpuOptions options;
  options.threads = threads;
  std::unique_ptr<Model> model;
  check.isTrue("a model is made" + name,
               Model::create(program.data(), program.size(), store, options, &model).ok());
  for (int64_t i = 0; i < model->stateCount(); i++) {
    model->writeState(i, Random(static_cast<uint64_t>(i)).values(model->stateLength(i)).data());
  }
  model->setOptimizer({optimizer, 0.999, 1e-8, 0.01}, gradients.data(), gradients.size(), false);
  check.isTrue("allocations are counted" + name, allocations.load() > 0);
  Work work(*model);
  check.isTrue("it trains and scores" + name, work.train() && work.score() && work.train() && work.score());

  // Scoring comes first: training forgets the encoder outputs it keeps.
  for (const bool training : {false, true}) {
    const size_t bytes = model->memory();
    const long before = allocations.load();
    const bool good = training ? work.train() : work.score();
    const long made = allocations.load() - before;
    const std::string what = training ? "steady steps" : "steady scorings";
    check.isTrue(what + " allocate nothing" + name + ": " + std::to_string(made), good && made == 0);
    // What scoring kept is freed by training.
    check.isTrue(what + " take no more bytes" + name, training ? model->memory() <= bytes : model->memory() == bytes);
  }
}

}  // namespace
}  // namespace relic

int main() {
  relic::Checker check;
  for (const int threads : {1, 3}) {
    for (const int optimizer : {0, 1}) relic::testModel(check, threads, optimizer);
  }
  return check.finish();
}
