// Which tensors the GPU engine holds in 16 bits, and which sizes of products share a plan.
#include <vector>

#include "check.h"
#include "cuda/formats.h"
#include "cuda/gemm.h"
#include "encoded_program.h"
#include "relic/program.h"

namespace relic::cuda {
namespace {

Op opOf(OpKind kind, const std::vector<int32_t>& inputs, const std::vector<int32_t>& outputs) {
  Op op{};
  op.kind = kind;
  op.inputCount = static_cast<int>(inputs.size());
  op.outputCount = static_cast<int>(outputs.size());
  for (size_t i = 0; i < inputs.size(); i++) op.inputs[i] = inputs[i];
  for (size_t i = 0; i < outputs.size(); i++) op.outputs[i] = outputs[i];
  return op;
}

void norms(Checker& check) {
  Program program{};
  program.tensors = {{kTokens, 4}, {kTokens, 4}, {kTokens, 4}, {kTokens, 2}, {kTokens, 4}};
  program.training = {opOf(OpKind::gather, {}, {0}), opOf(OpKind::linear, {0}, {1}),
                      opOf(OpKind::layerNorm, {1}, {2, 3}), opOf(OpKind::linear, {2}, {4})};
  const auto normed = [&] { return assignFormats(&program, Format::bfloat16)[2]; };
  check.isTrue("a norm that feeds linear layers alone is narrow", normed() == Format::bfloat16);
  check.isTrue("the planner is told its size", program.tensors[2].bytes == 2 && program.tensors[3].bytes == 4);
  program.tensors.push_back({kTokensA, 4});
  program.training.push_back(opOf(OpKind::sliceRows, {2}, {5}));
  check.isTrue("one that goes on as a residual stream is not", normed() == Format::float32);
}

void everything(Checker& check) {
  const Words words = everyOp();
  Program program;
  check.isTrue("the program is decoded", decodeProgram(words.data(), words.size(), &program).ok());
  const std::vector<Format> formats = assignFormats(&program, Format::float16);
  const auto out = [&](size_t op) { return formats[static_cast<size_t>(program.training[op].outputs[0])]; };
  for (const size_t op : {0, 1, 2, 3, 4, 5, 10}) {
    check.isTrue("op " + std::to_string(op) + " writes 16 bits", out(op) == Format::float16);
  }
  // The residual stream with its slices, and everything with a row a pair.
  for (const size_t op : {6, 7, 8, 9, 13, 14, 15, 16, 17, 18}) {
    check.isTrue("op " + std::to_string(op) + " writes float32", out(op) == Format::float32);
  }
  for (const Format format : assignFormats(&program, Format::float32)) {
    check.isTrue("float32 training has float32 alone", format == Format::float32);
  }
}

void plans(Checker& check) {
  for (const int64_t size : {1, 255, 256, 384, 512, 640, 1920, 2560}) {
    check.isTrue("width " + std::to_string(size) + " has a plan of its own", planSize(size) == size);
  }
  bool above = true, few = true;
  for (int64_t size = 1; size < 70000; size += 7) {
    above = above && planSize(size) >= size && planSize(planSize(size)) == planSize(size);
    few = few && planSize(size) * 8 <= size * 9 + 8;
  }
  check.isTrue("a plan's size is not below that of the product, and its own", above);
  check.isTrue("nor above it by more than an eighth", few);
}

}  // namespace
}  // namespace relic::cuda

int main() {
  relic::Checker check;
  relic::cuda::norms(check);
  relic::cuda::everything(check);
  relic::cuda::plans(check);
  return check.finish();
}
