"""What the GPU can do, and where a training step's time goes.

    python3 scripts/gpu/kernels.py PART --library librelic_cuda.so --programs programs.json --oracle DIR --out part.json

PART: ceilings (copy, a large product, the model's products, launches), dropout (what PyTorch's attention really drops),
profile (kernels of a step by class).
"""

import re
import sys
import time

import torch

import command
from bench import data_of, oracle
from contenders import Ours
from packed import varlen_forward

# Of the engine's kernels, by name and arguments; the first that fits counts, and none is elementwise.
CLASSES = [
    ("attention", r"ForwardArgs|BackwardArgs|SingleArgs|rowDots|[Aa]ttention|[Aa]bsorbed"),
    ("norm", r"forwardKernel|backwardKernel|anyForward|Gradient"),
    ("optimiser", r"adamw|sgd|overflow|scaleKernel"),
    ("sums", r"partsKernel|joinKernel"),
    ("own product", r"productKernel"),
]
TOKENS = 25600


def class_of(name):
    """Whatever a step runs that is neither the engine's nor a copy is cuBLASLt's."""
    if "relic" in name:
        return next((label for label, pattern in CLASSES if re.search(pattern, name)), "elementwise")
    return "memory" if re.search(r"mem(cpy|set)", name, re.I) else "product"


def seconds_of(context, work, least=0.2):
    """Median of repeated calls; work is warm when it is measured."""
    synchronize = torch.cuda.synchronize if context.device == "cuda" else lambda: None
    for _ in range(3):
        work()
    synchronize()
    times, until = [], time.perf_counter() + (0.01 if context.rehearse else least)
    while not times or time.perf_counter() < until:
        start = time.perf_counter()
        for _ in range(10):
            work()
        synchronize()
        times.append((time.perf_counter() - start) / 10)
    return sorted(times)[len(times) // 2]


def ceilings(context):
    normal = lambda *shape, dtype=torch.bfloat16: torch.randn(*shape, device=context.device).to(dtype)
    count = 2**16 if context.rehearse else 2**30
    source = normal(count // 4, dtype=torch.float32)
    target = torch.empty_like(source)
    seconds = seconds_of(context, lambda: target.copy_(source))
    context.measure("ceiling: copy", tb_per_s=2 * source.nbytes / seconds / 1e12)
    del source, target
    size = 64 if context.rehearse else 8192
    for label, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16), ("fp32", torch.float32)):
        a, b = normal(size, size, dtype=dtype), normal(size, size, dtype=dtype)
        context.measure(f"ceiling: {size} cubed, {label}", tflops=2 * size**3 / seconds_of(context, lambda: a @ b) / 1e12)
    one = torch.zeros(1, device=context.device)
    context.measure("launch of an empty kernel by PyTorch", us=seconds_of(context, lambda: one.add_(1)) * 1e6)
    rows = 32 if context.rehearse else TOKENS
    for width in (16,) if context.rehearse else (384, 512, 640):
        shapes = {"qkv": (width, 3 * width), "out": (width, width), "ffn 1": (width, 4 * width), "ffn 2": (4 * width, width)}
        if not context.rehearse:
            shapes["input projection"] = (1536, width)
        for name, (k, n) in shapes.items():
            x, w, d = normal(rows, k), normal(n, k), normal(rows, n)
            rates = {"forward": lambda: x @ w.T, "dx": lambda: d @ w, "dw": lambda: d.T @ x}
            context.measure(f"products of PyTorch, d {width}, {name}", tokens=rows, k=k, n=n,
                            **{f"{kind}_tflops": 2 * rows * k * n / seconds_of(context, work, 0.05) / 1e12
                               for kind, work in rates.items()})


def attention_dropout(context):
    """The rate at which PyTorch's attention really drops at 0.1: with values that are the identity it gives its probabilities."""
    length = 64
    q = (0.1 * torch.randn(16, 8, length, length, device=context.device)).to(torch.float16)
    identity = torch.eye(length, device=context.device, dtype=q.dtype).expand_as(q).contiguous()
    # As the encoder of the original calls it, which rules FlashAttention out.
    padding = torch.zeros(16, 1, 1, length, device=context.device, dtype=q.dtype).expand(-1, 8, length, -1)
    dropped = torch.nn.functional.scaled_dot_product_attention(q, q, identity, attn_mask=padding, dropout_p=0.1) == 0
    context.measure("attention of PyTorch with a mask, dropout 0.1", realised=dropped.float().mean().item())
    if context.device == "cuda":
        rows = q.transpose(1, 2).flatten(0, 1)
        ends = torch.arange(0, len(rows) + 1, length, device=context.device, dtype=torch.int32)
        values = identity.transpose(1, 2).flatten(0, 1)
        out, _, _ = varlen_forward(rows, rows, values, ends, ends, length, length, 0.1)
        context.measure("FlashAttention of the packed peer, dropout 0.1", realised=(out == 0).float().mean().item())


def profile(context):
    """Kernels and calls of the driver are recorded by CUPTI, those of the library as well as PyTorch's."""
    from torch.profiler import ProfilerActivity
    activities = [ProfilerActivity.CPU] if context.rehearse else [ProfilerActivity.CUDA, ProfilerActivity.CPU]
    for preset in ("nano",) if context.rehearse else ("logged", "seed", "prod"):
        data = data_of(context, preset)
        described = context.programs["presets"][preset]["dropout"]
        states = {name: values.cpu().numpy() for name, values in oracle(context, preset).state_dict().items()}
        ours = Ours(context, described["program"], states, data, "bf16")
        steps = min(len(data.batches), 10)
        ours.steps(steps)
        with torch.profiler.profile(activities=activities) as profiler:
            ours.steps(steps)
        kernels, launches, names = {}, 0, {}
        for event in profiler.events():
            if event.device_type == torch.autograd.DeviceType.CUDA:
                label, time_us = class_of(event.name), event.time_range.elapsed_us()
                for table, key in ((kernels, label), (names, event.name)):
                    count, total = table.get(key, (0, 0.0))
                    table[key] = (count + 1, total + time_us)
            elif "Launch" in event.name:
                launches += 1
        ours.close()
        described_as = {label: {"ms": total / steps / 1e3, "kernels": count / steps} for label, (count, total) in kernels.items()}
        longest = sorted(names.items(), key=lambda item: -item[1][1])[:25]
        context.measure(f"{preset}: kernels of a step, bf16", classes=described_as, launch_calls=launches / steps,
                        kernels=sum(count for count, _ in kernels.values()) / steps,
                        longest=[{"name": name[:160], "ms": total / steps / 1e3, "kernels": count / steps}
                                 for name, (count, total) in longest])
        context.check(f"{preset}: the profiler saw the kernels", context.rehearse or bool(kernels))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, {"ceilings": ceilings, "dropout": attention_dropout, "profile": profile}))
