"""Times the GPU engine beside PyTorch, in turn, over the same batches with dropout on.

    python3 scripts/gpu/bench.py PART --library librelic_cuda.so --programs programs.json --oracle DIR --out part.json

PART: warm (compiles the peers, so that later parts find them compiled), peer (whether the packed peer computes what the
oracle does), seed, logged, prod (training steps of a preset), evaluation (scoring pairs of 2,018 proteins).
"""

import copy
import shutil
import subprocess
import sys
import time
from functools import partial

import numpy as np
import torch

import command
from checks import distance
from contenders import Data, Ours, Packed, PackedGraph, Written
from packed import Batch, PackedV3
from relic_cuda import PRECISIONS

PROTEINS = 2018
ALL_PAIRS = PROTEINS * (PROTEINS + 1) // 2
PASSES, WARM_UP = 3, 5
# By preset: pairs a batch, batches, lengths.
SHAPES = {"seed": (16, 100, "fixed"), "logged": (32, 20, "real"), "prod": (32, 20, "real"), "nano": (3, 2, "short")}
GRADIENT_LIMIT = {"cpu": 1e-5, "cuda": 3e-2}


def data_of(context, preset):
    """Lengths like those of real proteins (log-normal within 50..1000, mean near 420), or 32."""
    pairs, count, kind = SHAPES[preset]
    random = np.random.default_rng(47)
    if kind == "real":
        lengths = np.clip(np.exp(random.standard_normal(PROTEINS) * 0.62 + 5.86), 50, 1000).astype(np.int32)
    else:
        lengths = np.full(500, 32, np.int32) if kind == "fixed" else random.integers(3, 18, 9).astype(np.int32)
    draw = lambda: random.integers(0, len(lengths), pairs).astype(np.int32)
    batches = [(draw(), draw(), (random.random(pairs) < 0.5).astype(np.float32)) for _ in range(count)]
    dim = context.programs["presets"][preset]["dropout"]["program"]["inputDim"]
    return Data(context.device, lengths, dim, batches)


def oracle(context, preset, variant="dropout"):
    torch.manual_seed(47)
    return context.oracle.V3(**context.programs["presets"][preset][variant]["config"]).to(context.device).train()


def compiled(context, model):
    """One compilation for all lengths. The rehearsal traces alone: generated code would only be slow to make."""
    return torch.compile(model, dynamic=None if context.rehearse else True, backend="eager" if context.rehearse else "inductor")


def synchronize(context):
    if context.device == "cuda":
        torch.cuda.synchronize()


def state_of_gpu():
    if shutil.which("nvidia-smi") is None:
        return ""
    query = "clocks.sm,temperature.gpu,power.draw"
    told = subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True)
    return told.stdout.strip().splitlines()[0] if told.returncode == 0 else ""


def flop(config, data, packed=True):
    """Of one training step on average, with the CLS attention absorbed: what must be computed whoever does it."""
    d, encoder, cross = config["d_model"], config["encoder_layers"], config["cross_attn_layers"]
    total = 0
    for tokens, own, other in map(data.tokens, data.batches):
        enter = 2 * tokens * config["input_dim"] * d
        products = 2 * tokens * (12 * d * d * encoder + 12 * d * d * cross)
        total += 2 * enter + 3 * products + 3.5 * (4 * d * own * encoder + 8 * d * other * cross)
    return total / len(data.batches)


def makers(context, preset, data):
    """The contenders by name, made when their turn comes: a peer that cannot be made must not keep the rest from running."""
    described = context.programs["presets"][preset]["dropout"]
    states = {name: values.cpu().numpy() for name, values in oracle(context, preset).state_dict().items()}
    cached = []

    def padded(count=None):
        if not cached:
            cached.extend(data.written(each) for each in data.batches)
        return cached[:count]

    def written(name, precision, **options):
        return lambda: Written(name, oracle(context, preset), data, padded(), precision, **options)

    def written_compiled():
        model = oracle(context, preset)
        return Written("PyTorch compiled fp16", model, data, padded(), "fp16", compiled(context, model))

    def written_from_host():
        pinned = [tuple(each.cpu().pin_memory() for each in batch) for batch in padded(4)]
        batches = [pinned[i % len(pinned)] for i in range(len(data.batches))]
        return Written("PyTorch as written fp16, from pinned memory", oracle(context, preset), data, batches, "fp16", pinned=True)

    def packed(kind, name, absorb=False):
        return lambda: kind(name, oracle(context, preset), data, partial(compiled, context), absorb)

    ours = {f"relic-train {p}": partial(Ours, context, described["program"], states, data, p) for p in ("bf16", "fp16")}
    peers = {"PyTorch as written fp16": written("PyTorch as written fp16", "fp16")}
    if preset != "prod":
        peers["PyTorch as written fp32"] = written("PyTorch as written fp32", "fp32")
        peers["PyTorch compiled fp16"] = written_compiled
    if preset == "logged":
        name = "PyTorch with need_weights=False fp16"
        peers[name] = written(name, "fp16", need_weights=False)
        peers["PyTorch as written fp16, from pinned memory"] = written_from_host
    if preset == "seed":
        peers["PyTorch packed, compiled, CUDA graph bf16"] = packed(PackedGraph, "PyTorch packed, compiled, CUDA graph bf16")
    else:
        peers["PyTorch packed, compiled bf16"] = packed(Packed, "PyTorch packed, compiled bf16")
    if preset == "logged":
        name = "PyTorch packed, CLS absorbed, compiled bf16"
        peers[name] = packed(Packed, name, absorb=True)
    return {**ours, **peers}


# The strongest peers first: when time is short the others are left out, and said to be.
ORDER = ["relic-train bf16", "PyTorch packed", "PyTorch as written fp16", "relic-train fp16", "PyTorch compiled"]


def rank(name):
    return next((i for i, each in enumerate(ORDER) if name.startswith(each)), len(ORDER))


def timed(context, contender, steps):
    synchronize(context)
    start = time.perf_counter()
    contender.steps(steps)
    synchronize(context)
    return (time.perf_counter() - start) * 1e3 / steps


def lost(context, preset, name, error):
    context.measure(f"{preset}: {name}", left_out=f"{type(error).__name__}: {str(error)[:200]}")
    if name.startswith("relic-train") or context.rehearse:
        context.check(f"{preset}: {name} runs", False)


def train(context, preset):
    shape = "nano" if context.rehearse else preset
    data = data_of(context, shape)
    pairs, steps = len(data.batches[0][0]), len(data.batches)
    contenders, times, memory, engine = [], {}, {}, ""
    everyone = makers(context, shape if context.rehearse else preset, data)
    before = state_of_gpu()
    for name in sorted(everyone, key=rank):
        if contenders and context.left() < 20:
            context.measure(f"{preset}: {name}", left_out="no time was left")
            continue
        try:
            if context.device == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            with command.limit(context.left() - 12 if contenders else context.left()):
                contender = everyone[name]()
                # Ours sees every batch, so that it takes all its memory before the peers take what is left.
                contender.steps(steps if name.startswith("relic-train") else min(WARM_UP, steps))
                timed(context, contender, min(2, steps))
            memory[name] = torch.cuda.max_memory_allocated() if context.device == "cuda" else 0
            if name.startswith("relic-train"):
                memory[name] = contender.model.memory()
                engine = contender.model.describe()
            contenders.append(contender)
            times[name] = []
        except Exception as error:  # noqa: BLE001: a peer that does not fit must not end the rest
            lost(context, preset, name, error)
    for turn in range(1 if context.rehearse else PASSES):
        for contender in list(contenders):
            if turn > 0 and context.left() < 10:
                continue
            try:
                times[contender.name].append(timed(context, contender, steps))
            except Exception as error:  # noqa: BLE001: likewise
                lost(context, preset, contender.name, error)
                contenders.remove(contender)
    work = flop(context.programs["presets"][shape if context.rehearse else preset]["dropout"]["config"], data)
    for contender in contenders:
        passes = times[contender.name]
        median = float(np.median(passes))
        context.measure(f"{preset}: {contender.name}", ms=median, spread_ms=max(passes) - min(passes), passes=len(passes),
                        pairs_per_s=pairs / median * 1e3, useful_tflops=work / median / 1e9,
                        memory_gib=memory[contender.name] / 2**30)
        contender.close()
    tokens = [data.tokens(each)[0] for each in data.batches]
    context.measure(f"{preset}: batches", pairs=pairs, batches=steps, tokens=float(np.mean(tokens)), tflop=work / 1e12, engine=engine,
                    gpu_before=before, gpu_after=state_of_gpu())


def peer(context):
    """Dropout off, one batch: loss and gradients of the packed peer against the oracle's in float64."""
    preset = "nano" if context.rehearse else "logged"
    data = data_of(context, preset)
    batch = tuple(each[:4] for each in data.batches[0])
    model = oracle(context, preset, "plain")
    exact = copy.deepcopy(model).double()
    *inputs, labels = data.written(batch)
    double = [each.double() if each.is_floating_point() else each for each in inputs]
    truth = backward(exact(*double), labels, exact)
    for absorb in (False, True):
        packed = PackedV3(model, data.longest, absorb)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=context.device == "cuda"):
            logits = packed(data.flat.float(), *Batch(data.offsets, data.lengths, batch).tensors())
        loss, gradients = backward(logits, labels, model)
        error, limit = distance(gradients, truth[1]), GRADIENT_LIMIT[context.device]
        loss_error = abs(loss - truth[0]) / truth[0]
        context.check(f"the packed peer{', CLS absorbed,' if absorb else ''} computes what the oracle does",
                      error <= limit and loss_error <= limit, gradients=error, loss=loss_error, limit=limit)


def backward(logits, labels, model):
    model.zero_grad()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.double(), labels.double())
    loss.backward()
    return loss.item(), [each.grad.cpu().double().numpy() for each in model.parameters()]


def warm(context):
    for preset in ("nano",) if context.rehearse else ("logged", "seed", "prod"):
        data = data_of(context, preset)
        data.batches = data.batches[:2]
        for name, make in makers(context, preset, data).items():
            if "compiled" in name and context.left() > 0:
                start = time.perf_counter()
                contender = make()
                for i in range(2):
                    contender.step(i)
                contender.close()
                context.measure(f"compiling {preset}: {name}", seconds=time.perf_counter() - start)


def evaluation(context):
    """Scoring all pairs of 2,018 proteins, by a sample of them after every protein was encoded once."""
    presets, size, sample = (("nano",), 4, 2) if context.rehearse else (("logged", "prod"), 512, 20)
    for preset in presets:
        data = data_of(context, preset)
        described = context.programs["presets"][preset]["dropout"]
        model = oracle(context, preset).eval()
        states = {name: values.cpu().numpy() for name, values in model.state_dict().items()}
        random, count = np.random.default_rng(1), len(data.lengths)
        draw = lambda: random.integers(0, count, size).astype(np.int32)
        batches = [(draw(), draw(), np.zeros(size, np.float32)) for _ in range(sample)]
        scorings = [("fp32", {})]
        if any(name == "scoring_precision" for name, _ in context.library.header.structures["RelicCudaModelOptions"]._fields_):
            scorings.append(("bf16", {"scoring_precision": PRECISIONS["bf16"]}))
        found = {}
        for scoring, more in scorings:
            ours = Ours(context, described["program"], states, data, "bf16", **more)
            start = time.perf_counter()
            for first in range(0, count, size):
                ids = np.arange(first, min(first + size, count), dtype=np.int32)
                ours.model.evaluate((ids, ids, np.zeros(len(ids), np.float32)))
            encoded = time.perf_counter() - start
            start = time.perf_counter()
            for each in batches:
                found[scoring] = ours.model.evaluate(each)
            seconds = time.perf_counter() - start
            ours.close()
            rate = size * sample / seconds
            context.measure(f"evaluation, {preset}: relic-train {scoring}", pairs_per_s=rate, encode_all_s=encoded,
                            all_pairs_s=encoded + ALL_PAIRS / rate, sampled_pairs=size * sample)
        few = min(size, 32)
        *inputs, _ = data.written(tuple(side[:few] for side in batches[-1]))
        with torch.inference_mode():
            model(*inputs)
            synchronize(context)
            start = time.perf_counter()
            theirs = model(*inputs)
            synchronize(context)
            rate = few / (time.perf_counter() - start)
        context.measure(f"evaluation, {preset}: PyTorch as written fp32", pairs_per_s=rate, all_pairs_s=ALL_PAIRS / rate,
                        sampled_pairs=few)
        for scoring, logits in found.items():
            error, limit = distance([logits[:few]], [theirs.float().cpu().numpy()]), {"fp32": 1e-4, "bf16": 5e-2}[scoring]
            context.check(f"evaluation, {preset}: our logits and PyTorch's, {scoring}", error <= limit, distance=error, limit=limit)


if __name__ == "__main__":
    parts = {preset: partial(train, preset=preset) for preset in ("seed", "logged", "prod")}
    sys.exit(command.run(__doc__, {"warm": warm, "peer": peer, **parts, "evaluation": evaluation}))
