"""Checks of the GPU engine against PyTorch in float64, through its C interface.

    python3 scripts/gpu/checks.py PART --library librelic_cuda.so --programs programs.json --out part.json

PART: ops (each op), attention (by head width), parity (whole models, dropout off, beside PyTorch's own autocast),
dropout (whole models with the masks that the GPU exports), trajectory (steps beside PyTorch's), determinism.
--rehearse is for the library that runs on the CPU: tiny models. --oracle is the folder of v3_torch.py.
"""

import sys
from contextlib import nullcontext

import numpy as np
import torch

import command
from interpreter import Interpreter
from relic_cuda import Model, Store

KEY, STEP = (1, 2), 3
# Relative to float64, all gradients together and logits by norm. Sums over few columns average fewer roundings out.
SMALL = {"fp32": 2e-5, "bf16": 4e-2, "fp16": 6e-3}
LARGE = {"fp32": 1e-5, "bf16": 2e-2, "fp16": 3e-3}
# 16-bit gradients must also be as near as PyTorch's autocast gets, but for the luck of one batch.
BESIDE_TORCH = 1.1
SMALL_WIDTH = 64
AMP = {"bf16": torch.bfloat16, "fp16": torch.float16}
# What fp16 gradients are multiplied with on their way, as a GradScaler does.
SCALE = 1024.0
LENGTHS = [1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 999, 1000]


def distance(values, truth) -> float:
    """|values - truth| / |truth| of all arrays together; infinite for anything that is no number."""
    a, b = (np.concatenate([np.asarray(each, np.float64).ravel() for each in side]) for side in (values, truth))
    error = np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30)
    return float(error) if np.isfinite(error) else float("inf")


def embeddings(generator, lengths, dim):
    """Rows that every precision holds exactly: bf16 values, away from the smallest ones of fp16."""
    rows = [torch.randn(n, dim, generator=generator).bfloat16().float() for n in lengths]
    return [torch.where(each.abs() < 1e-3, torch.zeros(()), each) for each in rows]


def random_states(generator, program):
    """Weights of unit gain, norms and biases that are not the identity."""
    states = {}
    for state in program["states"]:
        if state["buffer"] is not None:
            continue
        shape = state["shape"]
        values = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            states[state["name"]] = values / shape[-1] ** 0.5
        else:
            unit = 1.0 if "norm" in state["name"] and state["name"].endswith("weight") else 0.0
            states[state["name"]] = unit + 0.1 * values
    return {name: values.numpy() for name, values in states.items()}


def pairs_of(count, proteins):
    """Pairs in which every protein occurs on some side, and one with itself."""
    a = np.arange(count) % proteins
    b = (np.arange(count) * 3 + proteins - 1) % proteins
    return a.astype(np.int32), b.astype(np.int32), (np.arange(count) % 2).astype(np.float32)


def reference(context, program, states, rows, batch, hard_examples=None):
    """Loss, gradients by name and logits of scoring, in float64 with the masks of the GPU."""
    a, b, labels = batch
    sides = [[rows[i] for i in side] for side in (a, b)]
    draw = lambda site, p, count, cols: context.library.mask(KEY, site, STEP, p, count, cols)
    interpreter = Interpreter(program, context.device, draw)
    leaves = interpreter.states(states)
    _, losses = interpreter.run(leaves, sides, labels, True)
    if hard_examples is not None:
        keep = max(hard_examples["minKeep"], int(np.ceil(len(labels) * hard_examples["keepRatio"])))
        losses = losses.topk(keep).values
    losses.mean().backward()
    with torch.no_grad():
        logits, _ = interpreter.run(leaves, sides, labels, False)
    gradients = {name: (torch.zeros_like(leaf) if leaf.grad is None else leaf.grad).cpu().numpy() for name, leaf in leaves.items()}
    return losses.mean().item(), gradients, logits.cpu().numpy()


def ours(context, program, states, rows, batch, precision, hard_examples=None):
    model = Model(context.library, program, Store([each.numpy() for each in rows]), precision)
    try:
        model.load(states)
        logits = model.evaluate(batch)
        model.settle(batch)
        loss = model.train_step(batch, STEP, KEY, lr=0, momentum=0, hard_examples=hard_examples)
        return loss, model.gradients(), logits
    finally:
        model.close()


def compare(context, name, precision, mine, truth, limits, torch_error=None):
    """Records whether loss and gradients are within the precision's limit; scoring is float32 in each."""
    loss, gradients, logits = mine
    names = sorted(truth[1])
    errors = {
        "gradients": distance([gradients[each] for each in names], [truth[1][each] for each in names]),
        "loss": distance([loss], [truth[0]]),
        "logits": distance([logits], [truth[2]]),
    }
    limit = limits[precision]
    if torch_error is not None:
        errors["torch"] = torch_error
        if precision != "fp32":
            limit = min(limit, BESIDE_TORCH * torch_error)
    good = errors["gradients"] <= limit and errors["loss"] <= limit and errors["logits"] <= limits["fp32"]
    context.check(f"{name}, {precision}", good, **errors, limit=limit)


def ops(context):
    generator = torch.Generator().manual_seed(7)
    for case in context.programs["cases"]:
        program = case["program"]
        rows = embeddings(generator, [3, 1, 7, 4, 5], program["inputDim"])
        states = random_states(generator, program)
        batch = (np.int32([0, 2, 1, 4]), np.int32([3, 3, 2, 4]), np.float32([1, 0, 1, 0]))
        truth = reference(context, program, states, rows, batch, case["hardExamples"])
        for precision in context.precisions:
            mine = ours(context, program, states, rows, batch, precision, case["hardExamples"])
            compare(context, case["name"], precision, mine, truth, SMALL)


def attention(context):
    generator = torch.Generator().manual_seed(8)
    cases = context.programs["attention"]
    for case in cases[:1] + cases[4:5] if context.rehearse else cases:
        program = case["program"]
        lengths = [1, 15, 33] if context.rehearse else LENGTHS
        rows = embeddings(generator, lengths, program["inputDim"])
        states = random_states(generator, program)
        batch = pairs_of(len(lengths), len(lengths))
        truth = reference(context, program, states, rows, batch)
        for precision in context.precisions:
            compare(context, case["name"], precision, ours(context, program, states, rows, batch, precision), truth, SMALL)


def model_inputs(context, preset, variant, seed):
    """A program, the oracle's model in float64 with perturbed norms and biases, and a batch."""
    described = context.programs["presets"][preset][variant]
    torch.manual_seed(seed)
    model = context.oracle.V3(**described["config"])
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.dim() == 1:
                values += 0.1 * torch.randn(values.shape, generator=generator)
    lengths = {"nano": [5, 17, 3, 9], "micro": [4, 1, 18, 7]}.get(preset, [32, 190, 1, 77, 128, 65])
    if context.rehearse:
        lengths = lengths[:4] if preset != "tiny" else [5, 17, 3]
    rows = embeddings(generator, lengths, described["program"]["inputDim"])
    states = {name: values.detach().numpy() for name, values in model.state_dict().items()}
    return described["program"], model.to(context.device).double().train(), states, rows, pairs_of(4, len(lengths))


def padded(rows, indices, device, dtype):
    side = [rows[i] for i in indices]
    lengths = torch.tensor([len(each) for each in side], device=device)
    return torch.nn.utils.rnn.pad_sequence(side, batch_first=True).to(device, dtype), lengths


def torch_step(context, model, rows, batch, dtype, amp=None):
    """Loss, gradients and logits of the oracle as written."""
    (a, len_a), (b, len_b) = (padded(rows, side, context.device, dtype) for side in batch[:2])
    labels = torch.as_tensor(batch[2], device=context.device)
    model.zero_grad()
    scale = SCALE if amp == torch.float16 else 1.0
    with torch.autocast(context.device, dtype=amp) if amp else nullcontext():
        logits = model(a, b, len_a, len_b)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.to(dtype), labels.to(dtype))
    (loss * scale).backward()
    gradients = {name: (each.grad / scale).cpu().numpy() for name, each in model.named_parameters()}
    return loss.item(), gradients, logits.detach().cpu().to(torch.float64).numpy()


def limits_of(program):
    width = min(state["shape"][-1] for state in program["states"] if "in_proj_weight" in state["name"])
    return SMALL if width < SMALL_WIDTH else LARGE


def parity(context):
    for preset in context.presets:
        program, model, states, rows, batch = model_inputs(context, preset, "plain", 47)
        truth = torch_step(context, model, rows, batch, torch.float64)
        model = model.float()
        for precision in context.precisions:
            theirs = torch_step(context, model, rows, batch, torch.float32, AMP.get(precision))
            names = sorted(truth[1])
            error = distance([theirs[1][each] for each in names], [truth[1][each] for each in names])
            mine = ours(context, program, states, rows, batch, precision)
            compare(context, preset, precision, mine, truth, limits_of(program), error)


def dropout(context):
    for preset in context.presets:
        program, _, states, rows, batch = model_inputs(context, preset, "dropout", 48)
        truth = reference(context, program, states, rows, batch)
        for precision in context.precisions:
            mine = ours(context, program, states, rows, batch, precision)
            compare(context, f"{preset}, dropout on", precision, mine, truth, limits_of(program))


def trajectory(context):
    """AdamW steps from equal weights over the same batches, float32, dropout off: losses stay together."""
    preset, steps = (context.presets[0], 8) if context.rehearse else ("seed", 30)
    program, model, states, rows, _ = model_inputs(context, preset, "plain", 49)
    batches = [pairs_of(4, len(rows) - i % 2) for i in range(steps)]
    model = model.float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01)
    theirs = []
    for batch in batches:
        theirs.append(torch_step(context, model, rows, batch, torch.float32)[0])
        optimizer.step()
    for precision in context.precisions:
        mine = Model(context.library, program, Store([each.numpy() for each in rows]), precision)
        mine.load(states)
        mine.settle(batches[0])
        mine.set_optimizer("adamw", weight_decay=0.01)
        losses = [mine.train_step(batch, step) for step, batch in enumerate(batches)]
        mine.close()
        apart = float(np.abs(np.array(losses) - theirs).max())
        limit = {"fp32": 1e-4, "bf16": 5e-2, "fp16": 1e-2}[precision]
        context.check(f"{steps} steps of {preset}, {precision}", apart <= limit, loss=apart, limit=limit)


def determinism(context):
    for preset in context.presets[:1] if context.rehearse else ["seed", "logged"]:
        program, _, states, rows, _ = model_inputs(context, preset, "dropout", 50)
        steps = {"seed": 50, "logged": 10}.get(preset, 3)
        for precision in context.precisions:
            results = []
            for _ in range(2):
                model = Model(context.library, program, Store([each.numpy() for each in rows]), precision)
                model.load(states)
                model.set_optimizer("adamw", weight_decay=0.01)
                losses = [model.train_step(pairs_of(4, len(rows) - step % 2), step) for step in range(steps)]
                results.append((losses, {name: each.tobytes() for name, each in model.states().items()}))
                model.close()
            moved = any(results[0][1][name] != np.float32(states[name]).tobytes() for name in results[0][1] if name in states)
            context.check(f"{steps} steps of {preset} twice, {precision}", results[0] == results[1] and moved)


if __name__ == "__main__":
    sys.exit(command.run(__doc__, {each.__name__: each for each in (ops, attention, parity, dropout, trajectory, determinism)}))
