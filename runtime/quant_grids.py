#!/usr/bin/env python3
"""Writes quant_grids.h: the codebooks of the IQ1, IQ2 and IQ3 formats, an entry in 16 bits.

    pip install gguf; python3 quant_grids.py > quant_grids.h

They are figures of ggml's formats (ggml-common.h: iq2xxs_grid and so on), taken from the Python package gguf, which holds them
packed: 8 columns of 2 bits or 4 of 4 bits an entry, the first lowest, each the number of a level.
"""
from gguf import quants

print("/* Made by quant_grids.py from ggml's codebooks, as the Python package gguf has them. */")
for kind in ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"):
    packed = bytes.fromhex(getattr(quants, kind).grid_hex.decode())
    words = ["0x%04x," % int.from_bytes(packed[i:i + 2], "little") for i in range(0, len(packed), 2)]
    print("/* %s: %d */" % (kind, len(words)))
    for i in range(0, len(words), 12):
        print(" ".join(words[i:i + 12]))
