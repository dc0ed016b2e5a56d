// Which tensors of a program are held in 16 bits.
#pragma once

#include <vector>

#include "cuda/tensor.h"
#include "relic/program.h"

namespace relic::cuda {

// The format of every tensor when matrix operands are held in `compute`, and notes their sizes in the program for the
// planner. 16 bits have, of the tensors with a row a residue: embeddings, outputs of linear layers and of attention,
// what dropout and activations make of those, and norms that feed linear layers alone. The residual stream, statistics
// and everything with a row a pair stay float32, as rounding there is seen in the logits.
std::vector<Format> assignFormats(Program* program, Format compute);

}  // namespace relic::cuda
