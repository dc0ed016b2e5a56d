"""The GPU engine in Python: librelic_cuda.so by ctypes, with structures and functions read from its own header.

What a call means is said in native/cuda/relic_cuda.h. Fields that are not given are 0.
"""

import ctypes
import re
from pathlib import Path

import numpy as np

HEADER = Path(__file__).resolve().parents[2] / "native" / "cuda" / "relic_cuda.h"
SCALARS = {
    "int": ctypes.c_int, "int32_t": ctypes.c_int32, "uint32_t": ctypes.c_uint32, "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64, "size_t": ctypes.c_size_t, "double": ctypes.c_double, "float": ctypes.c_float,
    "char": ctypes.c_char, "void": None,
}
PRECISIONS = {"fp32": 0, "bf16": 1, "fp16": 2}
OPTIMIZERS = {"adamw": 0, "sgd": 1}
READ = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)


class Header:
    """Structures by name, functions as (result, argument types), and the version, of the header's text."""

    def __init__(self, text: str):
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        self.constants = {name: int(value) for name, value in re.findall(r"#define (\w+) (\d+)\s", text)}
        self.structures = {}
        for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\} \1;", text, flags=re.S):
            fields = [field for line in body.split(";") if line.strip() for field in self.fields(line)]
            self.structures[name] = type(name, (ctypes.Structure,), {"_fields_": fields})
        self.functions = {}
        for result, name, arguments in re.findall(r"RELIC_CUDA_API ([\w ]+?\*?)\s*(relic_\w+)\((.*?)\);", text, re.S):
            parts = [] if arguments.strip() == "void" else arguments.split(",")
            self.functions[name] = (self.kind(result), [self.kind(re.sub(r"\w+$", "", part.strip())) if "[" not in part
                                                        else ctypes.c_void_p for part in parts])

    def kind(self, declared: str):
        words = declared.replace("const", " ").strip()
        if "*" in words:
            return ctypes.c_char_p if words.replace(" ", "") == "char*" else ctypes.c_void_p
        return SCALARS.get(words) if words in SCALARS else self.structures[words]

    def fields(self, line: str):
        callback = re.match(r"\s*void \(\*(\w+)\)", line)
        if callback:
            return [(callback[1], READ)]
        declared, names = re.match(r"\s*((?:const )?\w+(?:[\s*]|const)*?[\s*])(\w+(?:\[\w+\])?(?:, *\w+(?:\[\w+\])?)*)\s*$", line).groups()
        fields = []
        for each in names.split(","):
            name, size = re.match(r"\s*(\w+)(?:\[(\w+)\])?", each).groups()
            kind = self.kind(declared)
            fields.append((name, kind if size is None else kind * (self.constants.get(size) or int(size))))
        return fields


class RelicError(RuntimeError):
    pass


class Library:
    """The opened library. `cublas` are files or names of cuBLASLt in the order in which they are tried; [] for none."""

    def __init__(self, path, cublas=()):
        self.header = Header(HEADER.read_text())
        self.cublas = [str(each) for each in cublas]
        library = ctypes.CDLL(str(path))
        expected, received = self.header.constants["RELIC_CUDA_ABI_VERSION"], library.relic_cuda_abi_version()
        if expected != received:
            raise RelicError(f"{path} has version {received} of the interface, and {HEADER} has version {expected}")
        for name, (result, arguments) in self.header.functions.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name.removeprefix("relic_cuda_"), function)

    def struct(self, name, **values):
        return self.header.structures[name](**values)

    def check(self, status: int):
        if status != 0:
            code, message = ctypes.c_char_p(), ctypes.c_char_p()
            self.last_error(ctypes.byref(code), ctypes.byref(message))
            raise RelicError(f"{code.value.decode()}: {message.value.decode()}")

    def mask(self, key, site, step, p, rows, cols) -> np.ndarray:
        """The dropout mask (rows, cols) of a site at a step, drawn on the device: 0 or 1 / (1 - p)."""
        threshold = min(int(p * 65536 + 0.5), 65535)
        out = np.full((rows, cols), np.nan, np.float32)
        words = np.asarray(key, np.uint32)
        self.check(self.export_mask(0, words.ctypes.data, site, step, threshold, 1 / (1 - threshold / 65536), rows,
                                    cols, out.ctypes.data))
        return out


class Store:
    """Embedding rows: one (length, dim) float32 array a protein."""

    def __init__(self, rows):
        self.rows = [np.ascontiguousarray(each, np.float32) for each in rows]
        self.lengths = np.asarray([len(each) for each in self.rows], np.int32)


class Model:
    """`program` is one of programs.mjs. A batch is (protein a, protein b, labels), arrays of one length."""

    def __init__(self, library: Library, program, store: Store, precision: str, **more):
        """`more`: further fields of RelicCudaModelOptions."""
        self.library, self.program = library, program
        words = np.asarray(program["words"], np.float64)

        def read(_, index, out):
            rows = store.rows[index]
            ctypes.memmove(out, rows.ctypes.data, rows.nbytes)

        # Kept for as long as the model: a library may read rows at any time.
        self.read = READ(read)
        paths = (ctypes.c_char_p * len(library.cublas))(*[each.encode() for each in library.cublas])
        options = library.struct(
            "RelicCudaModelOptions", program=words.ctypes.data, program_words=len(words), **more,
            store=library.struct("RelicCudaStore", dim=program["inputDim"], count=len(store.lengths),
                                 lengths=store.lengths.ctypes.data, read=self.read),
            precision=PRECISIONS[precision], cublas_path_count=len(library.cublas))
        options.cublas_paths = ctypes.cast(paths, ctypes.c_void_p)
        self.handle = ctypes.c_void_p()
        library.check(library.create(ctypes.byref(options), ctypes.byref(self.handle)))

    def close(self):
        self.library.destroy(self.handle)
        self.handle = None

    def describe(self) -> str:
        return self.library.describe(self.handle).decode()

    def memory(self) -> int:
        return self.library.memory(self.handle)

    def load(self, states):
        """`states` maps a name to its values; buffers that it lacks take their first value."""
        for index, state in enumerate(self.program["states"]):
            fill = np.full(int(np.prod(state["shape"])), state["buffer"] or 0, np.float32)
            values = np.ascontiguousarray(states.get(state["name"], fill), np.float32)
            self.library.check(self.library.write_state(self.handle, index, values.ctypes.data))

    def _read(self, call):
        for index, state in enumerate(self.program["states"]):
            values = np.full(state["shape"], np.nan, np.float32)
            if call(index, values.ctypes.data):
                yield state["name"], values

    def states(self):
        def read(index, out):
            self.library.check(self.library.read_state(self.handle, index, out))
            return True

        return dict(self._read(read))

    def gradients(self):
        """Of the last step, by name; parameters that are not trained are left out."""
        def read(index, out):
            trained = ctypes.c_int32()
            self.library.check(self.library.read_gradient(self.handle, index, out, ctypes.byref(trained)))
            return trained.value != 0

        return dict(self._read(read))

    def set_optimizer(self, kind="adamw", beta2=0.999, eps=1e-8, weight_decay=0.0):
        words = np.asarray(self.program["gradients"], np.float64)
        settings = self.library.struct("RelicCudaOptimizer", type=OPTIMIZERS[kind], beta2=beta2, eps=eps,
                                       weight_decay=weight_decay)
        self.library.check(self.library.set_optimizer(self.handle, ctypes.byref(settings), words.ctypes.data,
                                                      len(words), 0))

    def _batch(self, batch):
        """The structure, and the arrays that it points into."""
        a, b = (np.ascontiguousarray(each, np.int32) for each in batch[:2])
        labels = np.ascontiguousarray(batch[2], np.float32)
        view = self.library.struct("RelicCudaBatch", pairs=len(labels), protein_a=a.ctypes.data,
                                   protein_b=b.ctypes.data, labels=labels.ctypes.data)
        return view, (a, b, labels)

    def _step(self, step, lr, momentum, hard_examples):
        settings = self.library.struct("RelicCudaStep", step=step, lr=lr, momentum=momentum, keep_ratio=1, min_keep=1)
        if hard_examples is not None:
            settings.hard_examples = 1
            settings.keep_ratio, settings.min_keep = hard_examples["keepRatio"], hard_examples["minKeep"]
        return settings

    def train_step(self, batch, step, key=(1, 2), lr=1e-4, momentum=0.9, hard_examples=None) -> float:
        """The mean loss of the pairs that were kept."""
        view, alive = self._batch(batch)
        shard = self.library.struct("RelicCudaShard", batch=view, key=tuple(key))
        settings = self._step(step, lr, momentum, hard_examples)
        loss = self.library.struct("RelicCudaShardLoss")
        status = self.library.train_step(self.handle, ctypes.byref(shard), 1, ctypes.byref(settings),
                                         ctypes.byref(loss))
        del alive
        self.library.check(status)
        return loss.loss_sum / loss.kept

    def train_steps(self, batches, step, key=(1, 2), lr=1e-4, momentum=0.9):
        """Steps from `step` on, in one call where the library has one for many."""
        if "relic_cuda_train_steps" not in self.library.header.functions:
            for i, batch in enumerate(batches):
                self.train_step(batch, step + i, key, lr, momentum)
            return
        structures, count = self.library.header.structures, len(batches)
        views = [self._batch(batch) for batch in batches]
        shards = (structures["RelicCudaShard"] * count)()
        steps = (structures["RelicCudaStepShards"] * count)()
        for i, (view, _) in enumerate(views):
            shards[i] = self.library.struct("RelicCudaShard", batch=view, key=tuple(key))
            steps[i].shards = ctypes.addressof(shards[i])
            steps[i].shard_count, steps[i].settings = 1, self._step(step + i, lr, momentum, None)
        losses, done = (structures["RelicCudaShardLoss"] * count)(), ctypes.c_int64()
        self.library.check(self.library.train_steps(self.handle, steps, count, losses, ctypes.byref(done)))

    def settle(self, batch):
        """Takes float16's loss scale down to where gradients do not overflow, by steps that change nothing."""
        self.set_optimizer("sgd")
        for _ in range(40):
            skipped = self.library.skipped_steps(self.handle)
            self.train_step(batch, 0, lr=0, momentum=0)
            if skipped == self.library.skipped_steps(self.handle):
                return
        raise RelicError("gradients overflow float16 however small the loss scale is")

    def evaluate(self, batch) -> np.ndarray:
        view, alive = self._batch(batch)
        logits, losses = (np.full(view.pairs, np.nan, np.float32) for _ in range(2))
        status = self.library.evaluate(self.handle, ctypes.byref(view), logits.ctypes.data, losses.ctypes.data)
        del alive
        self.library.check(status)
        return logits
