"""What checks.py, bench.py and kernels.py share: their command line, and the part of the report that each writes."""

import argparse
import importlib
import json
import math
import signal
import sys
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

import torch

from relic_cuda import Library

torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False


class Context:
    """The library, programs and oracle, and what was found: checks by name and measurements."""

    def __init__(self, options):
        self.rehearse, self.started, self.seconds = options.rehearse, time.monotonic(), options.seconds
        self.device = "cpu" if options.rehearse else "cuda"
        self.library = None if options.library == "none" else Library(options.library, options.cublas)
        self.programs = json.loads(Path(options.programs).read_text())
        self.presets = ["nano", "micro", "tiny"] if options.rehearse else ["tiny", "seed", "logged"]
        self.precisions = ["fp32", "bf16", "fp16"]
        if options.oracle is not None:
            sys.path.insert(0, str(options.oracle))
            self.oracle = importlib.import_module("v3_torch")
        self.out, self.checks, self.measurements = options.out, [], []

    def write(self):
        """Whatever ends the process later, what was found until now is there."""
        self.out.write_text(json.dumps({"checks": self.checks, "measurements": self.measurements}))

    def left(self) -> float:
        """Seconds until the part should end."""
        return self.seconds - (time.monotonic() - self.started)

    def check(self, name, good, **facts):
        """JSON has no infinity: a distance that is none is written as null."""
        facts = {key: value if math.isfinite(value) else None for key, value in facts.items()}
        self.checks.append({"name": name, "ok": bool(good), **facts})
        self.write()
        shown = ", ".join(f"{key} {'inf' if value is None else format(value, '.2e')}" for key, value in facts.items())
        print(f"{'ok  ' if good else 'FAIL'} {name}{': ' if shown else ''}{shown}", flush=True)

    def measure(self, name, **facts):
        self.measurements.append({"name": name, **facts})
        self.write()
        print(f"{name}: {json.dumps(facts)}", flush=True)


@contextmanager
def limit(seconds):
    """Raises TimeoutError inside when the block has not ended by then."""
    def ring(*_):
        raise TimeoutError(f"not done after {seconds:.0f} s")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def run(description, parts) -> int:
    """Runs one part, or several, and writes what it found, a failure included. Exit status 1 if a check failed."""
    cli = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("part", choices=parts, nargs="+")
    cli.add_argument("--library", required=True, help="none for parts that need none")
    cli.add_argument("--programs", required=True)
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--cublas", action="append", default=[], help="file or name of cuBLASLt; may be repeated")
    cli.add_argument("--oracle", type=Path)
    cli.add_argument("--seconds", type=float, default=120, help="no measurement begins after that many")
    cli.add_argument("--rehearse", action="store_true")
    options = cli.parse_args()
    context = Context(options)
    for part in options.part:
        try:
            parts[part](context)
        except Exception as error:  # noqa: BLE001: whatever it is, it belongs in the report
            traceback.print_exc()
            context.check(f"{part} ended early: {type(error).__name__}: {str(error)[:300]}", False)
        if not context.checks and not context.measurements:
            context.check(f"{part}: nothing was checked or measured", False)
    failed = sum(not each["ok"] for each in context.checks)
    print(f"{len(context.checks) - failed} passed, {failed} failed")
    return 1 if failed else 0
