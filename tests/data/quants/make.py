#!/usr/bin/env python3
"""Writes hashes.txt: for every weight format, a hash of what blocks of fixed random bytes decode to.

    pip install gguf; python3 make.py > hashes.txt

The reference is the Python package gguf (llama.cpp, MIT). tests/unit/test_quant.c makes the same blocks and the same hash:
BLOCKS blocks of bytes of a linear congruential generator, the scales made finite; and of the decoded floats' bits the sum of
bits(i) * (golden * i | 1), modulo 2^64.
"""
import gguf
import numpy as np

BLOCKS = 4096
GOLDEN = 0x9E3779B97F4A7C15

# Where the bytes lie that hold an f16's highest bits, bit 6 of which is cleared: then it is below 2.
SCALES = {
    "F16": [1], "Q4_0": [1], "Q4_1": [1, 3], "Q5_0": [1], "Q5_1": [1, 3], "Q8_0": [1], "Q2_K": [81, 83], "Q3_K": [109],
    "Q4_K": [1, 3], "Q5_K": [1, 3], "Q6_K": [209], "IQ4_NL": [1], "IQ4_XS": [1], "IQ2_XXS": [1], "IQ2_XS": [1],
    "IQ2_S": [1], "IQ3_XXS": [1], "IQ3_S": [1], "IQ1_S": [1], "IQ1_M": [55], "TQ1_0": [53], "TQ2_0": [65],
    "F32": [3], "BF16": [1], "MXFP4": [],
}


def random_bytes(n):
    out, state = bytearray(n), 1
    for i in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = state >> 24
    return np.frombuffer(bytes(out), dtype=np.uint8).copy()


longest = max(size for _, size in gguf.GGML_QUANT_SIZES.values())
pattern = random_bytes(BLOCKS * longest)
for name, at in SCALES.items():
    kind = gguf.GGMLQuantizationType[name]
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = pattern[:BLOCKS * size].reshape(BLOCKS, size).copy()
    for i in at:
        blocks[:, i] &= 0xBF
    bits = gguf.quants.dequantize(blocks, kind).astype(np.float32).reshape(-1).view(np.uint32).astype(np.uint64)
    place = np.arange(bits.size, dtype=np.uint64) * np.uint64(GOLDEN) | np.uint64(1)
    print(name, "%016x" % int((bits * place).sum(dtype=np.uint64)))
