#!/usr/bin/env python3
"""Copies a model with all its weights as F32, so that llama.cpp does not round activations to 8 bits beside them.

    pip install gguf && python3 tests/peer/plain.py IN.gguf OUT.gguf
"""
import sys

from gguf import GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize


def main(source, target):
    reader = GGUFReader(source)
    writer = GGUFWriter(target, reader.fields["general.architecture"].contents())
    writer.data_alignment = reader.alignment
    for name, field in reader.fields.items():
        # The writer brings these itself.
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        item = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], item)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main(*sys.argv[1:])
