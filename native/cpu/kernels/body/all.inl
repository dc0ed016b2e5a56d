// Everything an ISA file needs after it has set its constants and primitives; ends with the table of kernels.
#include "math.inl"
#include "elements.inl"
#include "rows.inl"
#include "words.inl"
#include "tile.inl"
#include "transpose.inl"
#include "pack.inl"
#include "product.inl"
#include "dropout.inl"
#include "attention.inl"

constexpr Kernels kKernels = {
    kName,
    kProduct,
    layerNormForward,
    layerNormBackward,
    columnSums,
    {activationForward<Gelu>, activationForward<Relu>, activationForward<Silu>, activationForward<Tanh>},
    {activationBackward<Gelu>, activationBackward<Relu>, activationBackward<Silu>, activationBackward<Tanh>},
    add,
    blend,
    scale,
    adamw,
    draw,
    applyMask,
    softmaxRows,
    softmaxGradientRows,
    rowDots,
    dotRows,
    weightedRows,
    addOuter,
};
