// The attention op of a program on the kernels of attention.h: formats, work lists, and gradients that land beside or
// over one another.
#pragma once

#include "cpu/plan.h"
#include "cuda/runtime.h"
#include "relic/program.h"
#include "relic/status.h"

namespace relic::cuda {

Status attentionForward(Runtime& runtime, const Op& op);
Status attentionBackward(Runtime& runtime, const Op& op, const BackwardStep& step);

}  // namespace relic::cuda
