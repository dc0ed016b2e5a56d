"""Compares the dropout masks that the GPU draws with Philox4x32-7 written anew here, element by element.

    python3 scripts/gpu/masks.py build/Release/librelic_cuda.so

Needs nothing but Python. src/random/philox.ts is the contract.
"""

import ctypes
import math
import sys

MASK = 0xFFFFFFFF


def block(counter, key):
    word, (k0, k1) = list(counter), key
    for _ in range(7):
        a, c = 0xD2511F53 * word[0], 0xCD9E8D57 * word[2]
        word = [(c >> 32) ^ word[1] ^ k0, c & MASK, (a >> 32) ^ word[3] ^ k1, a & MASK]
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return word


def expected(key, site, step, threshold, scale, rows, cols):
    mask = []
    for row in range(rows):
        for col in range(cols):
            word = block((row, col >> 3, site, step), key)
            draw = (word[(col & 7) >> 1] >> (16 * (col & 1))) & 0xFFFF
            mask.append(0.0 if draw < threshold else scale)
    return mask


def main():
    library = ctypes.CDLL(sys.argv[1])
    library.relic_cuda_last_error.argtypes = [ctypes.POINTER(ctypes.c_char_p)] * 2
    export = library.relic_cuda_export_mask
    export.argtypes = [ctypes.c_int32, ctypes.POINTER(ctypes.c_uint32), ctypes.c_uint32, ctypes.c_uint32,
                       ctypes.c_uint32, ctypes.c_float, ctypes.c_int64, ctypes.c_int64, ctypes.POINTER(ctypes.c_float)]

    def draw(key, site, step, threshold, scale, rows, cols):
        out = (ctypes.c_float * (rows * cols))()
        if export(0, (ctypes.c_uint32 * 2)(*key), site, step, threshold, scale, rows, cols, out) != 0:
            code, message = ctypes.c_char_p(), ctypes.c_char_p()
            library.relic_cuda_last_error(ctypes.byref(code), ctypes.byref(message))
            sys.exit(f"{code.value.decode()}: {message.value.decode()}")
        return list(out)

    failures = 0
    for rows, cols in [(1, 1), (3, 7), (5, 8), (17, 9), (64, 80), (2, 1000)]:
        for key, site, step in [((1, 2), 0, 0), ((0xDEADBEEF, 0xFFFFFFFF), 41, 123456)]:
            if draw(key, site, step, 6554, 1.25, rows, cols) != expected(key, site, step, 6554, 1.25, rows, cols):
                failures += 1
                print(f"FAIL mask of {rows} x {cols}, key {key}, site {site}, step {step}")
    rows, cols, threshold = 1000, 640, 6554
    share = draw((5, 6), 7, 8, threshold, 1.0, rows, cols).count(0.0) / (rows * cols)
    p = threshold / 65536
    if abs(share - p) > 4 * math.sqrt(p * (1 - p) / (rows * cols)):
        failures += 1
        print(f"FAIL the rate is {share}, not {p}")
    print(f"{13 - failures} passed, {failures} failed")
    sys.exit(1 if failures else 0)


main()
