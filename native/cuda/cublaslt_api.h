// The part of cuBLASLt's binary interface that is used here, declared anew: the library is opened at run time, and its
// headers need not be there to build. Values are those of cublasLt.h of CUDA 12 and 13, which keep them stable.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/device.h"

namespace relic::cuda::cublaslt {

using Handle = struct HandleTag*;
using MatmulDesc = struct MatmulDescTag*;
using MatrixLayout = struct MatrixLayoutTag*;
using Preference = struct PreferenceTag*;
using Status = int32_t;

constexpr Status kSuccess = 0;

// cudaDataType_t
constexpr int32_t kFloat32 = 0, kFloat16 = 2, kBfloat16 = 14;
// cublasComputeType_t: float32 sums, no TF32
constexpr int32_t kCompute32F = 68;
// cublasOperation_t
constexpr int32_t kNormal = 0, kTransposed = 1;

// cublasLtMatmulDescAttributes_t
constexpr int32_t kDescTransA = 3, kDescTransB = 4, kDescEpilogue = 7, kDescBiasPointer = 8;
// cublasLtEpilogue_t
constexpr uint32_t kEpilogueBias = 4;
// cublasLtMatmulPreferenceAttributes_t
constexpr int32_t kPreferWorkspaceBytes = 1, kPreferReductionSchemes = 3, kPreferAlignmentA = 5;
// cublasLtReductionScheme_t: none, or through a workspace in the compute type; in place would be unordered
constexpr uint32_t kReductionInWorkspace = 2;

struct Algorithm {
  uint64_t data[8];
};
struct HeuristicResult {
  Algorithm algorithm;
  size_t workspaceBytes;
  Status state;
  float waves;
  int32_t reserved[4];
};

struct Functions {
  size_t (*getVersion)();
  const char* (*getStatusString)(Status);
  Status (*create)(Handle*);
  Status (*destroy)(Handle);
  Status (*matmulDescCreate)(MatmulDesc*, int32_t computeType, int32_t scaleType);
  Status (*matmulDescDestroy)(MatmulDesc);
  Status (*matmulDescSetAttribute)(MatmulDesc, int32_t attribute, const void* value, size_t bytes);
  Status (*matrixLayoutCreate)(MatrixLayout*, int32_t type, uint64_t rows, uint64_t cols, int64_t ld);
  Status (*matrixLayoutDestroy)(MatrixLayout);
  Status (*matmulPreferenceCreate)(Preference*);
  Status (*matmulPreferenceDestroy)(Preference);
  Status (*matmulPreferenceSetAttribute)(Preference, int32_t attribute, const void* value, size_t bytes);
  Status (*matmulAlgoGetHeuristic)(Handle, MatmulDesc, MatrixLayout a, MatrixLayout b, MatrixLayout c, MatrixLayout d,
                                   Preference, int32_t wanted, HeuristicResult*, int32_t* found);
  Status (*matmulAlgoCheck)(Handle, MatmulDesc, MatrixLayout a, MatrixLayout b, MatrixLayout c, MatrixLayout d,
                            const Algorithm*, HeuristicResult*);
  Status (*matmul)(Handle, MatmulDesc, const void* alpha, const void* a, MatrixLayout, const void* b, MatrixLayout,
                   const void* beta, const void* c, MatrixLayout, void* d, MatrixLayout, const Algorithm*,
                   void* workspace, size_t workspaceBytes, cudaStream_t);
};

}  // namespace relic::cuda::cublaslt
