"""A hand-written file in PyTorch's old format, and what must be refused."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from efficientdet.errors import ModelError
from efficientdet.model.torch_file import MAGIC, read_tensors

HEADER = pickle.dumps(MAGIC) + pickle.dumps(1001) + pickle.dumps({"little_endian": True})


def tensor(strides: str = "(I2\nI1\nt", kind: str = "FloatStorage") -> bytes:
    """Opcodes of {'w': 2x2 tensor at offset 1 of a storage named '0'}, as torch.save writes them."""
    return (
        "ccollections\nOrderedDict\n)R(S'w'\nctorch._utils\n_rebuild_tensor_v2\n"
        f"((S'storage'\nctorch\n{kind}\nS'0'\nS'cpu'\nI5\nNtQI1\n(I2\nI2\nt{strides}I00\nccollections\nOrderedDict\n)RtRu."
    ).encode()


def write(path: Path, body: bytes, values: bytes = struct.pack("<q5f", 5, 0, 1, 2, 3, 4)) -> Path:
    path.write_bytes(HEADER + body + pickle.dumps(["0"]) + values)
    return path


def test_reads_a_strided_view(tmp_path: Path):
    np.testing.assert_array_equal(read_tensors(write(tmp_path / "w.pth", tensor()))["w"], [[1, 2], [3, 4]])
    transposed = read_tensors(write(tmp_path / "t.pth", tensor(strides="(I1\nI2\nt")))["w"]
    np.testing.assert_array_equal(transposed, [[1, 3], [2, 4]])
    assert transposed.dtype == np.float32


class Malice:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("touched"),)


def test_code_in_the_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"bad\.pth.*asks for"):
        read_tensors(write(tmp_path / "bad.pth", pickle.dumps(Malice())))
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("body", "values", "reason"),
    [
        (tensor(), struct.pack("<q2f", 5, 0, 1), "buffer"),
        (tensor(strides="(I3\nI1\nt"), struct.pack("<q5f", 5, 0, 1, 2, 3, 4), "outside"),
        (tensor(strides="(I-1\nI1\nt"), struct.pack("<q5f", 5, 0, 1, 2, 3, 4), "outside"),
        (tensor(kind="UntypedStorage"), b"", "asks for torch.UntypedStorage"),
        (b"", b"", "not a readable"),
    ],
    ids=["truncated", "stride too long", "negative stride", "unknown storage", "no tensors"],
)
def test_damaged_files_are_refused(tmp_path: Path, body: bytes, values: bytes, reason: str):
    with pytest.raises(ModelError, match=reason):
        read_tensors(write(tmp_path / "w.pth", body, values))


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\x03\x04 a zip of PyTorch 1.6", pickle.dumps(7)])
def test_other_formats_are_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"w\.pth: not a readable PyTorch file"):
        read_tensors(path)
