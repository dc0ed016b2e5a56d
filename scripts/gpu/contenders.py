"""Those that bench.py times: the GPU engine, PyTorch as written, compiled, and packed."""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from packed import Batch, PackedV3
from relic_cuda import Model

AMP = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}
LEARNING_RATE, WEIGHT_DECAY = 1e-4, 0.01


class Data:
    """Proteins of normal values in bf16 on the device, batches of their pairs, and what each contender makes of them."""

    def __init__(self, device, lengths, dim, batches, seed=47):
        generator = torch.Generator(device).manual_seed(seed)
        self.device, self.dim = device, dim
        self.lengths = torch.as_tensor(lengths, device=device)
        self.offsets = F.pad(self.lengths.cumsum(0), (1, 0))[:-1]
        self.flat = torch.randn(int(self.lengths.sum()), dim, generator=generator, device=device).bfloat16()
        self.batches, self.longest = batches, int(max(lengths))

    def rows(self, index):
        start = int(self.offsets[index])
        return self.flat[start : start + int(self.lengths[index])].float()

    def padded(self, side):
        """(pairs, longest, dim) and lengths, as the original loads them."""
        rows = torch.nn.utils.rnn.pad_sequence([self.rows(i) for i in side], batch_first=True)
        return rows, self.lengths[torch.as_tensor(side, device=self.device).long()]

    def written(self, batch):
        """What the oracle is called with, and the labels."""
        (a, length_a), (b, length_b) = (self.padded(side) for side in batch[:2])
        return a, b, length_a, length_b, torch.as_tensor(batch[2], device=self.device)

    def tokens(self, batch):
        """Rows, and scores of self-attention and of one direction of cross-attention."""
        a, b = (self.lengths.cpu().numpy()[side].astype(np.int64) for side in batch[:2])
        return int((a + b).sum()), int((a * a + b * b).sum()), int((a * b).sum())


class HostRows:
    """The rows as the engine's Store wants them, brought from the device one protein at a time."""

    def __init__(self, data: Data):
        self.lengths = data.lengths.cpu().numpy().astype(np.int32)
        self.rows = self
        self.data = data

    def __getitem__(self, index):
        return np.ascontiguousarray(self.data.rows(index).cpu().numpy())


class Contender:
    def step(self, i):
        """Trains on batch i; the device may still be at it."""
        raise NotImplementedError

    def steps(self, count):
        for i in range(count):
            self.step(i)


class Ours(Contender):
    def __init__(self, context, program, states, data, precision, **more):
        self.name, self.data = f"relic-train {precision}", data
        self.model = Model(context.library, program, HostRows(data), precision, **more)
        self.model.load(states)
        self.model.set_optimizer("adamw", weight_decay=WEIGHT_DECAY)
        self.number = 0

    def step(self, i):
        self.model.train_step(self.data.batches[i], self.number, lr=LEARNING_RATE)
        self.number += 1

    def steps(self, count):
        self.model.train_steps(self.data.batches[:count], self.number, lr=LEARNING_RATE)
        self.number += count

    def close(self):
        self.model.close()


class Written(Contender):
    """The oracle's loop: padded, autocast with a GradScaler, foreach AdamW, the loss read at each step."""

    def __init__(self, name, model, data, batches, precision, forward=None, need_weights=True, pinned=False):
        self.name, self.batches, self.pinned = name, batches, pinned
        if not need_weights:
            for layer in model.cross_attention.layers:
                for module in (layer.attn, layer.attn_cls):
                    module.forward = partial(module.forward, need_weights=False)
        self.forward, self.amp = model if forward is None else forward, AMP[precision]
        self.device = data.device
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        self.scaler = torch.amp.GradScaler(data.device, enabled=precision == "fp16")

    def step(self, i):
        *inputs, labels = self.batches[i]
        if self.pinned:
            *inputs, labels = (each.to(self.device, non_blocking=True) for each in (*inputs, labels))
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, dtype=self.amp, enabled=self.amp is not None):
            loss = F.binary_cross_entropy_with_logits(self.forward(*inputs).float(), labels)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.item()

    def close(self):
        self.optimizer = self.batches = None


class Packed(Contender):
    """packed.py in bf16 with fused AdamW, compiled unless `compile_with` is None; nothing waits for the device."""

    def __init__(self, name, model, data, compile_with, absorb=False):
        self.name, self.data = name, data
        self.model = PackedV3(model, data.longest, absorb)
        self.forward = compile_with(self.model) if compile_with else self.model
        self.batches = [Batch(data.offsets, data.lengths, each) for each in data.batches]
        on_gpu = data.device == "cuda"
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=on_gpu,
                                           capturable=on_gpu)

    def train(self, tensors, labels):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.data.device, dtype=torch.bfloat16):
            loss = F.binary_cross_entropy_with_logits(self.forward(self.data.flat, *tensors).float(), labels)
        loss.backward()
        self.optimizer.step()
        return loss

    def step(self, i):
        self.train(self.batches[i].tensors(), self.batches[i].labels)

    def close(self):
        self.optimizer = self.batches = None


class PackedGraph(Packed):
    """The same as one CUDA graph, for batches of one shape: a step copies its indices and replays it."""

    def __init__(self, name, model, data, compile_with, absorb=False):
        super().__init__(name, model, data, compile_with, absorb)
        first = self.batches[0]
        self.inputs = [each.clone() for each in (*first.tensors(), first.labels)]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(5):
                self.train(self.inputs[:-1], self.inputs[-1])
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.train(self.inputs[:-1], self.inputs[-1])

    def step(self, i):
        batch = self.batches[i]
        torch._foreach_copy_(self.inputs, [*batch.tensors(), batch.labels])
        self.graph.replay()

    def close(self):
        super().close()
        self.graph = None
