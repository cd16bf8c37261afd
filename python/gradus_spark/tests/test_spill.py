"""Arrow batches to one safetensors file, and what is refused."""

import json

import numpy as np
import pyarrow as pa
import pytest

from gradus_spark.spill import spill


def read(path):
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header, data = json.loads(file.read(size)), file.read()
    assert (8 + size) % 8 == 0
    types = {"F32": np.float32, "I32": np.int32, "U8": np.uint8}
    return {n: np.frombuffer(data[slice(*e["data_offsets"])], types[e["dtype"]]).reshape(e["shape"]) for n, e in header.items()}


def batch(**columns):
    return pa.RecordBatch.from_pydict(columns)


def test_batches_become_one_file(tmp_path):
    a = batch(x=pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float64())), y=pa.array([0, 1], pa.int64()))
    b = batch(x=pa.array([[5.0, 6.0]], pa.list_(pa.float64())), y=pa.array([2], pa.int64()))
    path, rows = spill([a, batch(x=pa.array([], pa.list_(pa.float64())), y=pa.array([], pa.int64())), b], str(tmp_path), ["x"], "y")
    found = read(path)
    assert rows == 3 and found["x"].dtype == np.float32 and found["y"].dtype == np.int32
    assert found["x"].tolist() == [[1, 2], [3, 4], [5, 6]] and found["y"].tolist() == [0, 1, 2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.safetensors"]


def test_several_columns_stand_side_by_side(tmp_path):
    b = batch(a=[1.0, 2.0], v=pa.array([[3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32(), 2)), b=pa.array([7, 8], pa.int32()), y=[0.5, 1.5])
    found = read(spill([b], str(tmp_path), ["a", "v", "b"], "y")[0])
    assert found["x"].tolist() == [[1, 3, 4, 7], [2, 5, 6, 8]] and found["y"].tolist() == [0.5, 1.5]


def test_dense_vectors_are_arrays(tmp_path):
    kind = pa.struct([("type", pa.int8()), ("size", pa.int32()), ("indices", pa.list_(pa.int32())), ("values", pa.list_(pa.float64()))])
    dense = [{"type": 1, "size": None, "indices": None, "values": [1.0, 2.0]}, {"type": 1, "size": None, "indices": None, "values": [3.0, 4.0]}]
    found = read(spill([batch(x=pa.array(dense, kind), y=[0, 1])], str(tmp_path), ["x"], "y")[0])
    assert found["x"].tolist() == [[1, 2], [3, 4]]
    sparse = [{"type": 0, "size": 2, "indices": [0], "values": [1.0]}]
    with pytest.raises(ValueError, match="sparse"):
        spill([batch(x=pa.array(sparse, kind), y=[0])], str(tmp_path), ["x"], "y")


@pytest.mark.parametrize(
    "columns, what",
    [
        ({"x": pa.array([1.0, None]), "y": [0, 1]}, "1 missing values"),
        ({"x": pa.array([[1.0], [1.0, 2.0]]), "y": [0, 1]}, "1 to 2 numbers"),
        ({"x": pa.array(["a", "b"]), "y": [0, 1]}, "string"),
        ({"x": [1.0, 2.0], "y": [0, 2**40]}, "32 bits"),
    ],
)
def test_what_gradus_cannot_hold_is_refused(tmp_path, columns, what):
    with pytest.raises(ValueError, match=what):
        spill([batch(**columns)], str(tmp_path), ["x"], "y")
