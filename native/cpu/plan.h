// Where the tensors of a run of ops lie in one arena, decided once a program: a batch only decides the sizes.
//
// Tensors that share memory on purpose (row slices, residual gradients, elementwise ops in place) form one storage.
// Storages whose lives do not overlap share a buffer. Every buffer has a symbolic row count and a width, so that laying
// a batch out is one pass of additions over the buffers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "layout.h"
#include "relic/program.h"

namespace relic {

// Which rows of its storage a tensor has: the A and B parts are those of a storage with rows `tokens`.
enum class Part : uint8_t { whole, a, b };

struct Place {
  int32_t storage = -1;  // -1: none
  Part part = Part::whole;
};

// What a backward op does about the gradient of one input.
enum class Action : int8_t {
  none,
  write,
  add,
  shared,  // the gradient lies where that of the output lies: nothing to do
};

struct BackwardStep {
  int32_t op;
  Action inputs[kMaxOperands];
  Target parameters[kMaxOperands];
};

struct Storage {
  int32_t rows;
  int64_t cols;  // in floats
  // Times of the first write and the last read, both inclusive; one that was merged into another has first > last.
  int32_t first = INT32_MAX, last = -1;
  int32_t buffer = -1;

  void extend(int32_t from, int32_t to) {
    if (from < first) first = from;
    if (to > last) last = to;
  }
};

struct Plan {
  // By tensor.
  std::vector<Place> values, gradients;
  std::vector<Storage> storages;
  struct Buffer {
    int32_t rows;
    int64_t cols;
  };
  std::vector<Buffer> buffers;
  // Training only.
  std::vector<BackwardStep> backward;

  // The first float of each buffer for this batch; returns the floats of all.
  size_t place(const Layout& layout, std::vector<size_t>* offsets) const;
};

// Ops [from, to) of the scoring list. `given` (or -1) is written before they start; `kept` tensors are readable after.
Plan planScoring(const Program& program, int32_t from, int32_t to, int32_t given, const std::vector<int32_t>& kept);

// The training list, then the backward list. Time runs through the forward ops, one tick for the loss gradient, then
// the backward ops.
Plan planTraining(const Program& program, const Gradients& gradients);

// By state: the last backward step that writes a part of its gradient; -1 where none does.
std::vector<int32_t> lastGradientSteps(const Program& program, const Plan& plan);

// Parts of planTraining, by plan_gradients.cpp: fills plan->gradients and plan->backward and appends storages, whose
// lives are counted from `start`, the time at which the gradient of the loss is set.
void placeGradients(const Program& program, const Gradients& gradients, int32_t start, Plan* plan);

}  // namespace relic
