"""Rows on the disk of the machine that trains on them: one safetensors file, which gradus reads again in every epoch.

A partition comes as Arrow batches of unknown number, and a safetensors file begins with the sizes of what follows: so each column goes to
a file of its own first, and the files are joined behind the header.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from typing import Iterable, Sequence

import numpy as np
import pyarrow as pa

_DTYPES = {"float32": "F32", "uint8": "U8", "int32": "I32", "uint32": "U32"}


def column(array: pa.Array, name: str) -> np.ndarray:
    """The rows of a column of numbers, or of arrays of numbers that all have one length: `[rows]` or `[rows, length]`."""
    if array.null_count:
        raise ValueError(f"column `{name}` has {array.null_count} missing values: fill them, or leave those rows out, before `fit`")
    if pa.types.is_struct(array.type):  # Spark ML's dense vector
        if not np.all(array.field("type").to_numpy(zero_copy_only=False) == 1):
            raise ValueError(f"column `{name}` holds sparse vectors: make them dense (`pyspark.ml.functions.vector_to_array`)")
        array = array.field("values")
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type) or pa.types.is_fixed_size_list(array.type):
        lengths = np.unique(np.asarray(array.value_lengths()))
        if len(lengths) > 1:
            raise ValueError(f"the rows of column `{name}` have {lengths[0]} to {lengths[-1]} numbers: all must have as many")
        flat = array.flatten()
        if flat.null_count:
            raise ValueError(f"column `{name}` has missing values within its rows: fill them before `fit`")
        return _numbers(flat, name).reshape(len(array), int(lengths[0]) if len(lengths) else 0)
    return _numbers(array, name)


def _numbers(array: pa.Array, name: str) -> np.ndarray:
    kind = array.type
    if pa.types.is_uint8(kind):
        return array.to_numpy(zero_copy_only=False)
    if pa.types.is_integer(kind):
        values = array.to_numpy(zero_copy_only=False)
        if len(values) and (values.min() < -(2**31) or values.max() >= 2**31):
            raise ValueError(f"column `{name}` has whole numbers beyond 32 bits: cast it to float, or number its categories")
        return values.astype(np.int32)
    if pa.types.is_floating(kind):
        return array.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    if pa.types.is_boolean(kind):
        return array.to_numpy(zero_copy_only=False).astype(np.int32)
    raise ValueError(f"column `{name}` is {kind}: gradus takes numbers, and arrays of numbers of one length")


class Spill:
    """Writes batches to a folder, and at the end the file of them all."""

    def __init__(self, folder: str, features: Sequence[str], label: str | None):
        self.folder, self.features, self.label = folder, list(features), label
        self.rows = 0
        self._files: dict[str, tuple] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Adds the rows of a batch: `x` of the features, side by side where they are several, and `y` of the label."""
        if batch.num_rows == 0:
            return
        parts = [column(batch.column(batch.schema.get_field_index(n)), n) for n in self.features]
        if len(parts) == 1:
            x = parts[0]
        else:
            x = np.concatenate([np.asarray(p, np.float32).reshape(batch.num_rows, -1) for p in parts], axis=1)
        self._write("x", x.reshape(batch.num_rows, -1))
        if self.label is not None:
            self._write("y", column(batch.column(batch.schema.get_field_index(self.label)), self.label))
        self.rows += batch.num_rows

    def _write(self, field: str, values: np.ndarray) -> None:
        if field not in self._files:
            path = os.path.join(self.folder, f"{field}.part")
            self._files[field] = (open(path, "wb"), path, values.dtype, values.shape[1:])
        file, _, dtype, shape = self._files[field]
        if values.dtype != dtype or values.shape[1:] != shape:
            raise ValueError(f"field `{field}`: a batch of {values.dtype} {values.shape[1:]} after one of {dtype} {shape}")
        file.write(np.ascontiguousarray(values).tobytes())

    def finish(self, path: str) -> int:
        """Writes the file, and gives the number of its rows."""
        header, at, parts = {}, 0, []
        for field, (file, part, dtype, shape) in sorted(self._files.items()):
            file.close()
            size = os.path.getsize(part)
            header[field] = {"dtype": _DTYPES[dtype.name], "shape": [self.rows, *map(int, shape)], "data_offsets": [at, at + size]}
            at += size
            parts.append(part)
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(path, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for part in parts:
                with open(part, "rb") as read:
                    shutil.copyfileobj(read, out, 1 << 20)
                os.remove(part)
        return self.rows


def spill(batches: Iterable[pa.RecordBatch], folder: str, features: Sequence[str], label: str | None) -> tuple[str, int]:
    """All batches in one file of the folder: its path, and the number of rows."""
    out = Spill(folder, features, label)
    for batch in batches:
        out.add(batch)
    path = os.path.join(folder, "rows.safetensors")
    return path, out.finish(path)
