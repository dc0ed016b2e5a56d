"""What a program computes, by PyTorch in float64: the reference of the GPU's ops, losses and gradients.

It runs the ops as they were before the engine's fusions, one by one over ragged rows, with dropout masks drawn by
whatever draws them (Library.mask: the GPU itself), so that training is compared with dropout on.
"""

import torch
import torch.nn.functional as F

ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu, "tanh": torch.tanh}


class Interpreter:
    def __init__(self, program, device, draw):
        """`draw(site, p, rows, cols)` gives a mask as a NumPy array."""
        self.program, self.device, self.draw = program, device, draw

    def states(self, values):
        """Leaves in float64, with gradients unless they are buffers."""
        states = {}
        for state in self.program["states"]:
            if state["buffer"] is None:
                each = torch.as_tensor(values[state["name"]], dtype=torch.float64, device=self.device)
                states[state["name"]] = each.reshape(state["shape"]).detach().clone().requires_grad_()
        return states

    def run(self, states, sides, labels, training):
        """`sides`: the rows of the A proteins and of the B proteins, tensors (length, dim). Returns logits, losses (pairs)."""
        self.states_, self.training = states, training
        self.labels = torch.as_tensor(labels, dtype=torch.float64, device=self.device)
        rows = [each.to(self.device, torch.float64) for side in sides for each in side]
        self.pairs = len(sides[0])
        self.offsets = [0]
        for each in rows:
            self.offsets.append(self.offsets[-1] + len(each))
        self.tokens_a = self.offsets[self.pairs]
        self.embeddings = torch.cat(rows)
        self.values = {}
        for op in self.program["ops"]:
            result = getattr(self, op["kind"])(op, *(self.values[i] for i in op["inputs"]), **op["attributes"])
            self.values[op["outputs"][0]] = result
        logits, losses = (self.values[self.program[each]].squeeze(1) for each in ("logits", "lossPerPair"))
        return logits, losses

    def slices(self, op):
        for part in op["parameters"]:
            matrix = self.states_[part["name"]].reshape(-1, part["cols"])
            yield matrix[part["row"] : part["row"] + part["rows"]]

    def mask(self, site, p, rows, cols):
        return torch.as_tensor(self.draw(site, p, rows, cols), device=self.device).double()

    def gather(self, op):
        return self.embeddings

    def linear(self, op, x):
        weight, *bias = self.slices(op)
        return F.linear(x, weight, bias[0].reshape(-1) if bias else None)

    def layerNorm(self, op, x, eps):
        weight, bias = (each.reshape(-1) for each in self.slices(op))
        return F.layer_norm(x, weight.shape, weight, bias, eps)

    def batchNorm(self, op, x, eps, runningMean, runningVar, **_):
        weight, bias = (each.reshape(-1) for each in self.slices(op))
        if self.training:
            return F.batch_norm(x, None, None, weight, bias, True, 0, eps)
        # As the buffers are before the first step.
        return x / (1 + eps) ** 0.5 * weight + bias

    def activation(self, op, x, function):
        return ACTIVATIONS[function](x)

    def dropout(self, op, x, p, site):
        return x * self.mask(site, p, *x.shape) if self.training and p > 0 else x

    def add(self, op, a, b):
        return a + b

    def stochasticDepth(self, op, x, y, p, site):
        if not self.training or p == 0:
            return y
        gates = self.mask(site, p, 2 * self.pairs, 1)
        lengths = torch.tensor([b - a for a, b in zip(self.offsets, self.offsets[1:])], device=self.device)
        return x + gates.repeat_interleave(lengths, 0) * (y - x)

    def sliceRows(self, op, x, side):
        return x[: self.tokens_a] if side == "A" else x[self.tokens_a :]

    def concatRows(self, op, a, b):
        return torch.cat([a, b])

    def expand(self, op):
        (row,) = self.slices(op)
        return row.reshape(1, -1).expand(self.pairs, -1)

    def bceLoss(self, op, logits, posWeight, labelSmoothing):
        target = self.labels * (1 - labelSmoothing) + labelSmoothing / 2
        weight = torch.tensor(posWeight, dtype=torch.float64, device=self.device)
        loss = F.binary_cross_entropy_with_logits(logits.squeeze(1), target, pos_weight=weight, reduction="none")
        return loss.unsqueeze(1)

    def segments(self, kind):
        """(query rows, key ranges) counted in the rows of each op's own inputs."""
        ranges = list(zip(self.offsets, self.offsets[1:]))
        a, b = ranges[: self.pairs], ranges[self.pairs :]
        own_b = [(start - self.tokens_a, end - self.tokens_a) for start, end in b]
        if kind == "self":
            return [(each, [each]) for each in ranges]
        if kind == "aToB":
            return [(q, [k]) for q, k in zip(a, own_b)]
        if kind == "bToA":
            return [(q, [k]) for q, k in zip(own_b, a)]
        return [((i, i + 1), [a[i], b[i]]) for i in range(self.pairs)]

    def attention(self, op, query, key_value, heads, width, segments, queryOffset, keyOffset, valueOffset, p, site):
        split = lambda x, offset: x[:, offset : offset + width].reshape(len(x), heads, -1).transpose(0, 1)
        q, k, v = split(query, queryOffset), split(key_value, keyOffset), split(key_value, valueOffset)
        parts = self.segments(segments)
        masks = None
        if self.training and p > 0:
            longest = max(sum(end - start for start, end in keys) for _, keys in parts)
            masks = self.mask(site, p, q.shape[1] * heads, longest).reshape(-1, heads, longest).transpose(0, 1)
        outputs = []
        for (start, end), keys in parts:
            seen = lambda x: torch.cat([x[:, first:last] for first, last in keys], 1)
            scores = q[:, start:end] @ seen(k).transpose(1, 2) * (heads / width) ** 0.5
            probabilities = scores.softmax(-1)
            if masks is not None:
                probabilities = probabilities * masks[:, start:end, : scores.shape[2]]
            outputs.append((probabilities @ seen(v)).transpose(0, 1).reshape(end - start, width))
        return torch.cat(outputs)
