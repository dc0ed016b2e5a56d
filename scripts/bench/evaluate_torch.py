"""One trial of evaluation.mjs in PyTorch: its evaluation loop over padded batches, on a sample of the pairs.

    python evaluate_torch.py ORACLE_DIR SPLIT.json THREADS

Prints one JSON line: milliseconds a pair, and the logits.
"""

import json
import sys
import time

import numpy as np
import torch

oracle, path, threads = sys.argv[1:]
sys.path.insert(0, oracle)

from v3_torch import V3  # noqa: E402

with open(path) as file:
    split = json.load(file)
torch.set_num_threads(int(threads))
offsets, dim = split["row_offsets"], split["input_dim"]
store = np.memmap(split["store"], np.float16, mode="r", offset=split["data_start"], shape=(offsets[-1] * dim,))


def padded(proteins: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """-> (B, longest, dim) embeddings with zeros for padding, (B,) lengths."""
    lengths = [offsets[i + 1] - offsets[i] for i in proteins]
    rows = torch.zeros(len(proteins), max(lengths), dim)
    for row, i, length in zip(rows, proteins, lengths):
        values = store[offsets[i] * dim : offsets[i + 1] * dim].astype(np.float32)
        row[:length] = torch.from_numpy(values).view(length, dim)
    return rows, torch.tensor(lengths)


def batch(pairs: list[list[int]]) -> list[torch.Tensor]:
    (a, len_a), (b, len_b) = (padded([pair[side] for pair in pairs]) for side in range(2))
    return [a, b, len_a, len_b]


model = V3(**split["model_config"])
model.load_state_dict(torch.load(split["weights"], weights_only=True))
model.eval()
first, size, count = split["proteins"] // 2, split["batch"], split["samples"]["torch"]
sample = split["pairs"][first : first + count]
batches = [batch(sample[start : start + size]) for start in range(0, count, size)]
logits: list[float] = []
with torch.no_grad():
    model(*batch(sample[:2]))
    start = time.perf_counter()
    for each in batches:
        logits += model(*each).tolist()
    spent = time.perf_counter() - start
print(json.dumps({"ms_per_pair": spent * 1e3 / count, "logits": logits, "torch": torch.__version__}))
