#include "cuda/formats.h"

namespace relic::cuda {
namespace {

size_t index(int32_t i) { return static_cast<size_t>(i); }

bool hasRowPerResidue(const TensorSpec& spec) {
  return spec.rows == kTokens || spec.rows == kTokensA || spec.rows == kTokensB;
}

// By tensor: whether something but a linear layer reads it.
std::vector<bool> readElsewhere(const Program& program) {
  std::vector<bool> result(program.tensors.size(), false);
  for (const auto* ops : {&program.training, &program.scoring}) {
    for (const Op& op : *ops) {
      for (int k = 0; k < op.inputCount && op.kind != OpKind::linear; k++) result[index(op.inputs[k])] = true;
    }
  }
  return result;
}

}  // namespace

std::vector<Format> assignFormats(Program* program, Format compute) {
  std::vector<Format> formats(program->tensors.size(), Format::float32);
  const std::vector<bool> elsewhere = readElsewhere(*program);
  const auto narrow = [&](const Op& op) {
    const int32_t out = op.outputs[0];
    if (!hasRowPerResidue(program->tensors[index(out)])) return false;
    switch (op.kind) {
      case OpKind::gather:
      case OpKind::linear:
      case OpKind::attention:
        return true;
      case OpKind::layerNorm:
        return !elsewhere[index(out)];
      case OpKind::activation:
      case OpKind::activationDropout:
      case OpKind::dropout:
      case OpKind::sliceRows:
        return formats[index(op.inputs[0])] != Format::float32;
      case OpKind::concatRows:
        return formats[index(op.inputs[0])] != Format::float32 && formats[index(op.inputs[1])] != Format::float32;
      default:
        return false;
    }
  };
  for (const auto* ops : {&program->training, &program->scoring}) {
    for (const Op& op : *ops) {
      if (narrow(op)) formats[index(op.outputs[0])] = compute;
    }
  }
  for (size_t i = 0; i < formats.size(); i++) program->tensors[i].bytes = static_cast<int32_t>(bytesOf(formats[i]));
  return formats;
}

}  // namespace relic::cuda
