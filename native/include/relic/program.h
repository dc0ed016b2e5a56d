// A model program as the native engines hold it, and the flat encoding it arrives in from
// src/engine/native/encode.ts. The meaning of the ops is documented in src/model/program.ts.
//
// The encoding is a list of doubles; `n: ...` is a count followed by that many groups.
//
//   program    magic, version, input dim,
//              tensors n: (rows, cols),
//              states n: (0 parameter | 1 buffer, elements, initial value), in state-dict order,
//              training ops n: op, scoring ops n: op,
//              prefix ops (0 when there is none), prefix output (-1 when there is none),
//              training logits, scoring logits, loss of each pair
//   rows       -1 tokens, -2 tokensA, -3 tokensB, -4 pairs, else a constant
//   op         kind, inputs n: tensor, outputs n: tensor, parameters n: (state, row, rows, cols),
//              attributes n: value (their order is that of the structs below)
//   gradients  magic, version, backward ops n: (op, inputs n: target, parameters n: target), trained states n: state
//   target     -1 not wanted, 0 written, 1 added to
//
// Decoding checks every count, index, shape and slice, so that whatever runs a decoded program stays in bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "relic/status.h"

namespace relic {

constexpr double kProgramMagic = 0x52454c50;
constexpr double kGradientsMagic = 0x52454c47;
constexpr double kEncodingVersion = 2;

// In the order of OP_KINDS in src/model/program.ts.
enum class OpKind : int32_t {
  gather,
  linear,
  layerNorm,
  batchNorm,
  activation,
  dropout,
  add,
  stochasticDepth,
  attention,
  sliceRows,
  concatRows,
  expand,
  bceLoss,
  activationDropout,
  dropoutAdd,
  stochasticDepthAdd,
  absorbedAttention,
};
constexpr int kOpKinds = 17;

// A row count: a constant (>= 0) or one of the sizes that a batch decides.
enum Rows : int32_t { kTokens = -1, kTokensA = -2, kTokensB = -3, kPairs = -4 };

struct TensorSpec {
  int32_t rows;
  int64_t cols;
  // Of an element of the value and of its gradient; an engine that keeps some tensors in 16 bits sets 2.
  int32_t bytes = 4;

  // Memory is laid out in units of floats.
  int64_t floatsPerRow() const { return (cols * bytes + 3) / 4; }
};

struct StateSpec {
  bool parameter;
  int64_t elements;
  float initial;
};

// Rows row .. row + rows of a parameter seen as a matrix of `cols` columns.
struct ParameterSlice {
  int32_t state;
  int64_t row, rows, cols;

  int64_t offset() const { return row * cols; }
  int64_t elements() const { return rows * cols; }
};

// Of a dropout, of stochastic depth and of an attention's probabilities; threshold 0 means none.
struct DropoutSite {
  uint32_t threshold;
  float scale;
  uint32_t site;
};

enum class SegmentKind : int32_t { self, aToB, bToA, pairToBoth };

struct AttentionAttributes {
  int64_t heads, width;
  SegmentKind segments;
  int64_t queryOffset, keyOffset, valueOffset;
};

struct BatchNormAttributes {
  float eps, momentum;
  int32_t runningMean, runningVar, batches;  // states
};

constexpr int kMaxOperands = 4;

struct Op {
  OpKind kind;
  int inputCount, outputCount, parameterCount;
  int32_t inputs[kMaxOperands];
  int32_t outputs[kMaxOperands];
  ParameterSlice parameters[kMaxOperands];
  // Only those of its kind are set.
  float eps;                      // layerNorm
  BatchNormAttributes batchNorm;  // batchNorm
  int32_t activation;             // activation, activationDropout: gelu, relu, silu, tanh
  DropoutSite dropout;            // dropout, stochasticDepth(Add), attention, activationDropout, absorbedAttention
  DropoutSite chain[2];              // dropoutAdd, stochasticDepthAdd
  AttentionAttributes attention;  // attention; heads and width: absorbedAttention
  bool sideB;                     // sliceRows
  float posWeight, smoothing;     // bceLoss
};

struct Program {
  int64_t inputDim;
  std::vector<TensorSpec> tensors;
  std::vector<StateSpec> states;
  std::vector<Op> training;
  std::vector<Op> scoring;
  // The leading scoring ops that see one sequence at a time, and the one tensor that later ops read from them; 0 and -1
  // when there are none.
  int32_t prefixOps, prefixOutput;
  int32_t trainingLogits, scoringLogits, lossPerPair;
};

// Where a gradient goes.
enum class Target : int8_t {
  none = -1,
  write = 0,
  add = 1,
};

// The backward of op `op` of the training list; the targets run parallel to its inputs and parameters.
struct BackwardOp {
  int32_t op;
  Target inputs[kMaxOperands];
  Target parameters[kMaxOperands];
};

struct Gradients {
  std::vector<BackwardOp> ops;
  std::vector<int32_t> trained;  // states, ascending
};

// RELIC_PROGRAM_INVALID when `words` is not a program that this version can run; `*out` is then unspecified.
Status decodeProgram(const double* words, size_t count, Program* out);
// RELIC_PROGRAM_INVALID when `words` is not a backward list of `program`.
Status decodeGradients(const double* words, size_t count, const Program& program, Gradients* out);

}  // namespace relic
