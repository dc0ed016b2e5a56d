// Decoding of the encoded program (layout in relic/program.h).
#include "relic/program.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace relic {
namespace {

// Far above any model, far below where sizes in int64 could overflow.
constexpr int64_t kMaxCount = 1 << 20;
constexpr int64_t kMaxCols = int64_t{1} << 24;
constexpr int64_t kMaxElements = int64_t{1} << 40;

Status invalid(const std::string& what) {
  return Status::failure("RELIC_PROGRAM_INVALID", "the encoded program: " + what);
}

// Reads words one after another. After a failure every read gives 0, and `message` tells the first fault.
class Reader {
 public:
  Reader(const double* words, size_t count) : words_(words), count_(count) {}

  bool ok() const { return message_.empty(); }
  bool atEnd() const { return at_ == count_; }
  const std::string& message() const { return message_; }

  void fail(const std::string& message) {
    if (ok()) message_ = message + " (word " + std::to_string(at_) + ")";
  }

  double real(const char* what) {
    if (!ok()) return 0;
    if (at_ == count_) {
      fail(std::string("ends before ") + what);
      return 0;
    }
    const double value = words_[at_++];
    if (!std::isfinite(value)) {
      fail(std::string(what) + " is not finite");
      return 0;
    }
    return value;
  }

  // A whole number of low .. high.
  int64_t integer(const char* what, int64_t low, int64_t high) {
    const double value = real(what);
    if (!ok()) return 0;
    if (!(value >= static_cast<double>(low) && value <= static_cast<double>(high)) || value != std::floor(value)) {
      fail(std::string(what) + " is " + std::to_string(value) + ", not of " + std::to_string(low) + " to " +
           std::to_string(high));
      return 0;
    }
    return static_cast<int64_t>(value);
  }

  // An index below `count`.
  int32_t index(const char* what, size_t count) {
    return static_cast<int32_t>(integer(what, 0, static_cast<int64_t>(count) - 1));
  }

  size_t counted(const char* what) { return static_cast<size_t>(integer(what, 0, kMaxCount)); }

  void header(double magic) {
    if (real("the magic number") != magic) fail("has another magic number");
    if (real("the version") != kEncodingVersion) fail("has another format version");
  }

 private:
  const double* words_;
  size_t count_;
  size_t at_ = 0;
  std::string message_;
};

struct Arity {
  int inputs, outputs, minParameters, maxParameters, attributes;
};

constexpr Arity kArities[kOpKinds] = {
    {0, 1, 0, 0, 0},  // gather
    {1, 1, 1, 2, 0},  // linear
    {1, 2, 2, 2, 1},  // layerNorm
    {1, 2, 2, 2, 5},  // batchNorm
    {1, 1, 0, 0, 1},  // activation
    {1, 1, 0, 0, 3},  // dropout
    {2, 1, 0, 0, 0},  // add
    {2, 1, 0, 0, 3},  // stochasticDepth
    {2, 2, 0, 0, 9},  // attention
    {1, 1, 0, 0, 1},  // sliceRows
    {2, 1, 0, 0, 0},  // concatRows
    {0, 1, 1, 1, 0},  // expand
    {1, 1, 0, 0, 2},  // bceLoss
    {1, 1, 0, 0, 4},  // activationDropout
    {2, 1, 0, 0, 6},  // dropoutAdd
    {3, 1, 0, 0, 9},  // stochasticDepthAdd
    {2, 4, 4, 4, 5},  // absorbedAttention
};

DropoutSite readDropout(Reader& in) {
  DropoutSite site{};
  site.threshold = static_cast<uint32_t>(in.integer("a dropout threshold", 0, 65535));
  site.scale = static_cast<float>(in.real("a dropout scale"));
  site.site = static_cast<uint32_t>(in.integer("a dropout site", 0, UINT32_MAX));
  return site;
}

void readAttributes(Reader& in, const Program& program, Op& op) {
  switch (op.kind) {
    case OpKind::layerNorm:
      op.eps = static_cast<float>(in.real("eps"));
      break;
    case OpKind::batchNorm:
      op.batchNorm.eps = static_cast<float>(in.real("eps"));
      op.batchNorm.momentum = static_cast<float>(in.real("momentum"));
      op.batchNorm.runningMean = in.index("the running mean", program.states.size());
      op.batchNorm.runningVar = in.index("the running variance", program.states.size());
      op.batchNorm.batches = in.index("the batch counter", program.states.size());
      break;
    case OpKind::activation:
      op.activation = static_cast<int32_t>(in.integer("an activation", 0, 3));
      break;
    case OpKind::dropout:
    case OpKind::stochasticDepth:
      op.dropout = readDropout(in);
      break;
    case OpKind::attention:
      op.attention.heads = in.integer("attention heads", 1, kMaxCols);
      op.attention.width = in.integer("an attention width", 1, kMaxCols);
      op.attention.segments = static_cast<SegmentKind>(in.integer("attention segments", 0, 3));
      op.attention.queryOffset = in.integer("a query offset", 0, kMaxCols);
      op.attention.keyOffset = in.integer("a key offset", 0, kMaxCols);
      op.attention.valueOffset = in.integer("a value offset", 0, kMaxCols);
      op.dropout = readDropout(in);
      break;
    case OpKind::activationDropout:
      op.activation = static_cast<int32_t>(in.integer("an activation", 0, 3));
      op.dropout = readDropout(in);
      break;
    case OpKind::stochasticDepthAdd:
      op.dropout = readDropout(in);
      [[fallthrough]];
    case OpKind::dropoutAdd:
      for (DropoutSite& site : op.chain) site = readDropout(in);
      break;
    case OpKind::absorbedAttention:
      op.attention.heads = in.integer("attention heads", 1, kMaxCols);
      op.attention.width = in.integer("an attention width", 1, kMaxCols);
      op.attention.segments = SegmentKind::pairToBoth;
      op.dropout = readDropout(in);
      break;
    case OpKind::sliceRows:
      op.sideB = in.integer("a side", 0, 1) == 1;
      break;
    case OpKind::bceLoss:
      op.posWeight = static_cast<float>(in.real("a positive weight"));
      op.smoothing = static_cast<float>(in.real("a label smoothing"));
      break;
    case OpKind::gather:
    case OpKind::linear:
    case OpKind::add:
    case OpKind::concatRows:
    case OpKind::expand:
      break;
  }
}

ParameterSlice readSlice(Reader& in, const Program& program) {
  ParameterSlice slice{};
  slice.state = in.index("a parameter", program.states.size());
  slice.row = in.integer("a first row", 0, kMaxElements);
  slice.rows = in.integer("a row count", 1, kMaxElements);
  slice.cols = in.integer("a column count", 1, kMaxCols);
  if (!in.ok()) return slice;
  const StateSpec& state = program.states[static_cast<size_t>(slice.state)];
  // By division, as the product could overflow.
  if (!state.parameter || slice.row + slice.rows > state.elements / slice.cols) in.fail("a slice leaves its parameter");
  return slice;
}

Op readOp(Reader& in, const Program& program) {
  Op op{};
  op.kind = static_cast<OpKind>(in.integer("an op kind", 0, kOpKinds - 1));
  const Arity& arity = kArities[static_cast<int>(op.kind)];
  op.inputCount = static_cast<int>(in.integer("an input count", arity.inputs, arity.inputs));
  for (int i = 0; i < op.inputCount; i++) op.inputs[i] = in.index("an input", program.tensors.size());
  op.outputCount = static_cast<int>(in.integer("an output count", arity.outputs, arity.outputs));
  for (int i = 0; i < op.outputCount; i++) op.outputs[i] = in.index("an output", program.tensors.size());
  op.parameterCount = static_cast<int>(in.integer("a parameter count", arity.minParameters, arity.maxParameters));
  for (int i = 0; i < op.parameterCount; i++) op.parameters[i] = readSlice(in, program);
  in.integer("an attribute count", arity.attributes, arity.attributes);
  readAttributes(in, program, op);
  return op;
}

// --- Shapes ----------------------------------------------------------------------------------------------------------

class Shapes {
 public:
  Shapes(const Program& program, const Op& op) : program_(program), op_(op) {}

  // What is wrong with the op's shapes, or null.
  const char* fault() const {
    switch (op_.kind) {
      case OpKind::gather:
        return has(out(0), kTokens, program_.inputDim) ? nullptr : "gather writes another shape than (tokens, dim)";
      case OpKind::linear:
        return linearFits() ? nullptr : "a linear's widths disagree";
      case OpKind::layerNorm:
        return same(in(0), out(0)) && has(out(1), in(0).rows, 2) && vectors(in(0).cols)
                   ? nullptr
                   : "a layer norm's shapes disagree";
      case OpKind::batchNorm:
        return batchNormFits() ? nullptr : "a batch norm's shapes disagree";
      case OpKind::activation:
      case OpKind::activationDropout:
      case OpKind::dropout:
        return same(in(0), out(0)) ? nullptr : "an elementwise op changes the shape";
      case OpKind::add:
      case OpKind::dropoutAdd:
        return same(in(0), out(0)) && same(in(1), out(0)) ? nullptr : "an addition's shapes disagree";
      case OpKind::stochasticDepth:
        return same(in(0), out(0)) && same(in(1), out(0)) && in(0).rows == kTokens
                   ? nullptr
                   : "stochastic depth needs three equal token tensors";
      case OpKind::stochasticDepthAdd:
        return same(in(0), out(0)) && same(in(1), out(0)) && same(in(2), out(0)) && in(0).rows == kTokens
                   ? nullptr
                   : "stochastic depth needs four equal token tensors";
      case OpKind::attention:
        return attentionFits() ? nullptr : "an attention's shapes disagree";
      case OpKind::absorbedAttention:
        return absorbedFits() ? nullptr : "an absorbed attention's shapes disagree";
      case OpKind::sliceRows:
        return in(0).rows == kTokens && has(out(0), op_.sideB ? kTokensB : kTokensA, in(0).cols)
                   ? nullptr
                   : "a row slice's shapes disagree";
      case OpKind::concatRows:
        return in(0).rows == kTokensA && has(in(1), kTokensB, in(0).cols) && has(out(0), kTokens, in(0).cols)
                   ? nullptr
                   : "a concatenation's shapes disagree";
      case OpKind::expand:
        return has(out(0), kPairs, op_.parameters[0].elements()) ? nullptr : "an expansion's shapes disagree";
      case OpKind::bceLoss:
        return has(in(0), kPairs, 1) && has(out(0), kPairs, 1) ? nullptr : "a loss is not one number a pair";
    }
    return "unknown op";
  }

 private:
  const TensorSpec& in(int i) const { return program_.tensors[static_cast<size_t>(op_.inputs[i])]; }
  const TensorSpec& out(int i) const { return program_.tensors[static_cast<size_t>(op_.outputs[i])]; }
  static bool same(const TensorSpec& a, const TensorSpec& b) { return a.rows == b.rows && a.cols == b.cols; }
  static bool has(const TensorSpec& a, int32_t rows, int64_t cols) { return a.rows == rows && a.cols == cols; }

  // Every parameter of the op has `length` elements.
  bool vectors(int64_t length) const {
    for (int i = 0; i < op_.parameterCount; i++) {
      if (op_.parameters[i].elements() != length) return false;
    }
    return true;
  }

  bool linearFits() const {
    const ParameterSlice& weight = op_.parameters[0];
    const bool bias = op_.parameterCount == 1 || op_.parameters[1].elements() == weight.rows;
    return bias && in(0).rows == out(0).rows && in(0).cols == weight.cols && out(0).cols == weight.rows;
  }

  bool batchNormFits() const {
    const BatchNormAttributes& norm = op_.batchNorm;
    const auto holds = [&](int32_t state, int64_t elements) {
      const StateSpec& spec = program_.states[static_cast<size_t>(state)];
      return !spec.parameter && spec.elements == elements;
    };
    const int64_t cols = in(0).cols;
    return same(in(0), out(0)) && has(out(1), 2, cols) && vectors(cols) && holds(norm.runningMean, cols) &&
           holds(norm.runningVar, cols) && holds(norm.batches, 1);
  }

  bool attentionFits() const {
    static constexpr int32_t kQueryRows[] = {kTokens, kTokensA, kTokensB, kPairs};
    static constexpr int32_t kKeyRows[] = {kTokens, kTokensB, kTokensA, kTokens};
    const AttentionAttributes& a = op_.attention;
    const int kind = static_cast<int>(a.segments);
    return a.width % a.heads == 0 && in(0).rows == kQueryRows[kind] && in(1).rows == kKeyRows[kind] &&
           a.queryOffset + a.width <= in(0).cols && a.keyOffset + a.width <= in(1).cols &&
           a.valueOffset + a.width <= in(1).cols && has(out(0), in(0).rows, a.width) &&
           has(out(1), in(0).rows, a.heads);
  }

  bool absorbedFits() const {
    const AttentionAttributes& a = op_.attention;
    const int64_t cols = in(1).cols;
    for (int i = 0; i < op_.parameterCount; i++) {
      if (op_.parameters[i].elements() != (i % 2 == 0 ? a.width * cols : a.width)) return false;
    }
    return a.width % a.heads == 0 && has(in(0), kPairs, a.width) && in(1).rows == kTokens &&
           has(out(0), kPairs, a.width) && has(out(1), kPairs, 2 * a.heads) && has(out(2), kPairs, a.heads * cols) &&
           has(out(3), kPairs, a.heads * cols);
  }

  const Program& program_;
  const Op& op_;
};

// Each tensor is written once, before it is read.
const char* orderFault(const Program& program, const std::vector<Op>& ops) {
  std::vector<bool> written(program.tensors.size(), false);
  for (const Op& op : ops) {
    for (int i = 0; i < op.inputCount; i++) {
      if (!written[static_cast<size_t>(op.inputs[i])]) return "an op reads what no earlier op wrote";
    }
    for (int i = 0; i < op.outputCount; i++) {
      if (written[static_cast<size_t>(op.outputs[i])]) return "a tensor is written twice";
      written[static_cast<size_t>(op.outputs[i])] = true;
    }
  }
  return nullptr;
}

void readOps(Reader& in, const Program& program, std::vector<Op>* ops) {
  const size_t count = in.counted("an op count");
  for (size_t i = 0; i < count && in.ok(); i++) {
    const Op op = readOp(in, program);
    if (!in.ok()) return;
    if (const char* fault = Shapes(program, op).fault()) return in.fail(fault);
    ops->push_back(op);
  }
  if (const char* fault = orderFault(program, *ops)) in.fail(fault);
}

bool writtenBy(const std::vector<Op>& ops, size_t count, int32_t tensor) {
  return std::any_of(ops.begin(), ops.begin() + static_cast<std::ptrdiff_t>(count), [&](const Op& op) {
    return std::find(op.outputs, op.outputs + op.outputCount, tensor) != op.outputs + op.outputCount;
  });
}

// The prefix writes per-sequence tensors alone, and the rest reads no other than its output.
bool prefixHolds(const Program& program) {
  const auto end = static_cast<size_t>(program.prefixOps);
  if (end == 0) return true;
  if (program.prefixOutput < 0 || !writtenBy(program.scoring, end, program.prefixOutput)) return false;
  for (size_t i = 0; i < end; i++) {
    const Op& op = program.scoring[i];
    for (int k = 0; k < op.outputCount; k++) {
      if (program.tensors[static_cast<size_t>(op.outputs[k])].rows != kTokens) return false;
    }
    if (op.kind == OpKind::concatRows) return false;
  }
  for (size_t i = end; i < program.scoring.size(); i++) {
    const Op& op = program.scoring[i];
    for (int k = 0; k < op.inputCount; k++) {
      if (op.inputs[k] != program.prefixOutput && writtenBy(program.scoring, end, op.inputs[k])) return false;
    }
  }
  return true;
}

Target readTarget(Reader& in) { return static_cast<Target>(in.integer("a gradient target", -1, 1)); }

// Every gradient is written before it is added to or read.
const char* gradientFault(const Program& program, const Gradients& gradients) {
  std::vector<bool> written(program.tensors.size(), false);
  written[static_cast<size_t>(program.lossPerPair)] = true;
  for (const BackwardOp& backward : gradients.ops) {
    const Op& op = program.training[static_cast<size_t>(backward.op)];
    if (!written[static_cast<size_t>(op.outputs[0])]) return "a backward op reads a gradient that none wrote";
    // An attention that reads one tensor twice writes disjoint columns of its gradient.
    const std::vector<bool> before = op.kind == OpKind::attention ? written : std::vector<bool>();
    for (int k = 0; k < op.inputCount; k++) {
      if (backward.inputs[k] == Target::none) continue;
      const std::vector<bool>& there = before.empty() ? written : before;
      if (there[static_cast<size_t>(op.inputs[k])] != (backward.inputs[k] == Target::add)) {
        return "a gradient is written twice, or added to nothing";
      }
      written[static_cast<size_t>(op.inputs[k])] = true;
    }
  }
  return nullptr;
}

}  // namespace

Status decodeProgram(const double* words, size_t count, Program* out) {
  Reader in(words, count);
  Program& program = *out = Program{};
  in.header(kProgramMagic);
  program.inputDim = in.integer("the input dim", 1, kMaxCols);
  const size_t tensors = in.counted("a tensor count");
  for (size_t i = 0; i < tensors && in.ok(); i++) {
    const auto rows = static_cast<int32_t>(in.integer("rows", kPairs, kMaxCount));
    program.tensors.push_back({rows, in.integer("columns", 1, kMaxCols)});
  }
  const size_t states = in.counted("a state count");
  for (size_t i = 0; i < states && in.ok(); i++) {
    const bool parameter = in.integer("a state kind", 0, 1) == 0;
    const int64_t elements = in.integer("a state's elements", 1, kMaxElements);
    program.states.push_back({parameter, elements, static_cast<float>(in.real("an initial value"))});
  }
  readOps(in, program, &program.training);
  readOps(in, program, &program.scoring);
  program.prefixOps =
      static_cast<int32_t>(in.integer("a prefix length", 0, static_cast<int64_t>(program.scoring.size())));
  program.prefixOutput =
      static_cast<int32_t>(in.integer("a prefix output", -1, static_cast<int64_t>(program.tensors.size()) - 1));
  program.trainingLogits = in.index("the training logits", program.tensors.size());
  program.scoringLogits = in.index("the scoring logits", program.tensors.size());
  program.lossPerPair = in.index("the loss", program.tensors.size());
  if (!in.ok()) return invalid(in.message());
  if (!in.atEnd()) return invalid("has words behind its end");
  if (!prefixHolds(program)) return invalid("its prefix is not one of single sequences");
  const auto perPair = [&](const std::vector<Op>& ops, int32_t tensor) {
    const TensorSpec& spec = program.tensors[static_cast<size_t>(tensor)];
    return spec.rows == kPairs && spec.cols == 1 && writtenBy(ops, ops.size(), tensor);
  };
  if (!perPair(program.training, program.trainingLogits) || !perPair(program.training, program.lossPerPair) ||
      !perPair(program.scoring, program.scoringLogits) || !perPair(program.scoring, program.lossPerPair)) {
    return invalid("never writes its logits or its loss");
  }
  return Status::success();
}

Status decodeGradients(const double* words, size_t count, const Program& program, Gradients* out) {
  Reader in(words, count);
  Gradients& gradients = *out = Gradients{};
  in.header(kGradientsMagic);
  const size_t ops = in.counted("a backward op count");
  auto below = static_cast<int64_t>(program.training.size());
  for (size_t i = 0; i < ops && in.ok(); i++) {
    BackwardOp backward{};
    // Descending, as reverse mode has them: each forward op at most once.
    backward.op = static_cast<int32_t>(in.integer("a backward op", 0, below - 1));
    if (!in.ok()) break;
    below = backward.op;
    const Op& op = program.training[static_cast<size_t>(backward.op)];
    in.integer("an input count", op.inputCount, op.inputCount);
    for (int k = 0; k < op.inputCount; k++) backward.inputs[k] = readTarget(in);
    in.integer("a parameter count", op.parameterCount, op.parameterCount);
    for (int k = 0; k < op.parameterCount; k++) backward.parameters[k] = readTarget(in);
    gradients.ops.push_back(backward);
  }
  std::vector<bool> trained(program.states.size(), false);
  const size_t trainedCount = in.counted("a trained count");
  for (size_t i = 0; i < trainedCount && in.ok(); i++) {
    const int32_t state = in.index("a trained state", program.states.size());
    if (in.ok() && !program.states[static_cast<size_t>(state)].parameter) in.fail("a trained state is a buffer");
    if (in.ok()) trained[static_cast<size_t>(state)] = true;
  }
  if (in.ok() && !in.atEnd()) in.fail("has words behind its end");
  for (const BackwardOp& backward : gradients.ops) {
    const Op& op = program.training[static_cast<size_t>(backward.op)];
    for (int k = 0; k < op.parameterCount; k++) {
      if (backward.parameters[k] != Target::none && !trained[static_cast<size_t>(op.parameters[k].state)]) {
        in.fail("a gradient goes to a parameter that is not trained");
      }
    }
  }
  if (in.ok()) {
    if (const char* fault = gradientFault(program, gradients)) in.fail(fault);
  }
  if (!in.ok()) return invalid(in.message());
  for (size_t i = 0; i < trained.size(); i++) {
    if (trained[i]) gradients.trained.push_back(static_cast<int32_t>(i));
  }
  return Status::success();
}

}  // namespace relic
