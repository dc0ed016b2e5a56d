"""Times the ops of ops.mjs in PyTorch: ops_torch.py THREADS REPETITIONS. Prints one JSON line, nanoseconds an element.

Names and shapes are those of bench_ops; a fused op of ours is the chain of ops that PyTorch runs in its place. A backward is
autograd's alone, from a graph that is kept.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

RATE = 0.1
ROWS = [(1024, 384), (8192, 1536)]
ATTENTION = [(32, 32, 12, 32), (4, 512, 8, 80)]
PARAMETERS, TENSORS = 10_197_633, 89

threads, repetitions = (int(each) for each in sys.argv[1:])
torch.set_num_threads(threads)
torch.manual_seed(47)
results: list[dict] = []


def seconds(call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(repetitions):
        start, calls = time.perf_counter(), 0
        while calls == 0 or time.perf_counter() - start < 0.01:
            call()
            calls += 1
        times.append((time.perf_counter() - start) / calls)
    return statistics.median(times)


def record(name: str, shape: Sequence[int], elements: int, spent: float) -> None:
    results.append({"name": name, "shape": "x".join(map(str, shape)), "ns": 1e9 * spent / elements})


def both(name: str, shape: Sequence[int], elements: int, forward: Callable[[], Tensor], inputs: list[Tensor]) -> None:
    record(f"{name} forward", shape, elements, seconds(forward))
    y = forward()
    dy = torch.randn_like(y)
    spent = seconds(lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True))
    record(f"{name} backward", shape, elements, spent)


for shape in ROWS:
    count = shape[0] * shape[1]
    x, h, y = (torch.randn(shape, requires_grad=True) for _ in range(3))
    weight, bias = (torch.randn(shape[1], requires_grad=True) for _ in range(2))
    plain, other, target = (torch.randn(shape) for _ in range(3))
    gate = torch.empty(shape[0], 1).bernoulli_(1 - RATE) / (1 - RATE)

    def drop(values: Tensor) -> Tensor:
        return F.dropout(values, RATE, True)

    both("layerNorm", shape, count, lambda: F.layer_norm(x, shape[1:], weight, bias), [x, weight, bias])
    both("gelu", shape, count, lambda: F.gelu(x), [x])
    both("relu", shape, count, lambda: F.relu(x), [x])
    both("silu", shape, count, lambda: F.silu(x), [x])
    both("tanh", shape, count, lambda: torch.tanh(x), [x])
    both("activationDropout", shape, count, lambda: drop(F.gelu(x)), [x])
    both("dropoutAdd", shape, count, lambda: x + drop(y), [y])
    both("dropoutAdd twice", shape, count, lambda: x + drop(drop(y)), [y])
    both("stochasticDepthAdd", shape, count, lambda: x + gate * (h + drop(y) - x), [x, h, y])
    record("dropout", shape, count, seconds(lambda: drop(x)))
    record("add", shape, count, seconds(lambda: torch.add(plain, other, out=target)))
    record("copy", shape, count, seconds(lambda: target.copy_(plain)))
    record("columnSums", shape, count, seconds(lambda: plain.sum(0)))

for shape in ATTENTION:
    sequences, length, heads, width = shape
    q, k, v = (torch.randn(sequences, heads, length, width, requires_grad=True) for _ in range(3))
    both("attention", shape, sequences * heads * length**2,
         lambda: F.scaled_dot_product_attention(q, k, v, dropout_p=RATE), [q, k, v])

for name, kind in {"adamw": {"fused": True}, "adamw foreach": {"foreach": True}}.items():
    parameters = [torch.randn(size, requires_grad=True) for size in [PARAMETERS // TENSORS] * TENSORS]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, **kind)
    record(name, [PARAMETERS], PARAMETERS // TENSORS * TENSORS, seconds(optimizer.step))

print(json.dumps({"results": results, "torch": torch.__version__}))
