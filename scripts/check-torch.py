"""Loads a checkpoint of ours in PyTorch, strictly, and compares its logits with ours.

usage: python check-torch.py CHECKPOINT DUMP ORACLE_DIR

DUMP is a .safetensors file made by dump-logits.mjs: emb_a, emb_b [B, L, E] padded, len_a, len_b [B], logits [B], and
the config's model section as JSON in its metadata. ORACLE_DIR holds v3_torch.py. Needs torch and numpy.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

TOLERANCE = 1e-5
DTYPES = {"F32": np.float32, "I64": np.int64}


def read_safetensors(path: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = (start + offset for offset in entry["data_offsets"])
        array = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = torch.from_numpy(array.copy())
    return tensors, metadata


def main(checkpoint: str, dump: str, oracle: str) -> int:
    sys.path.insert(0, oracle)
    from v3_torch import V3

    tensors, metadata = read_safetensors(dump)
    config = json.loads(metadata["model_config"])
    config.pop("model")
    model = V3(**config).eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True), strict=True)
    with torch.no_grad():
        theirs = model(*(tensors[name] for name in ("emb_a", "emb_b", "len_a", "len_b")))
    apart = (theirs - tensors["logits"]).abs().max().item()
    good = apart <= TOLERANCE  # false for NaN
    print(f"{'ok  ' if good else 'FAIL'} torch {torch.__version__}: {len(theirs)} logits apart by {apart:.2e} (at most {TOLERANCE})")
    return 0 if good else 1


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
