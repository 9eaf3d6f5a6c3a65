"""Reading tensors from a PyTorch file without PyTorch, and without running what the file says."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from efficientdet.errors import ModelError

MAGIC = 0x1950A86A20F9469CFC6C  # opens every file that torch.save wrote before version 1.6
STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _Storage(NamedTuple):
    """A flat array that follows the pickles: its key and numpy type."""

    key: str
    dtype: str


class _Tensor(NamedTuple):
    """A strided view into a storage; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Knows an ordered dict of tensors of floats and longs, and refuses to name anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(storage, offset, shape, strides)
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which a file of weights does not need")

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, *_ = pid
        return _Storage(key, dtype)


def read_tensors(path: str | Path) -> dict[str, NDArray[Any]]:
    """The named tensors of a state dict that `torch.save` wrote in its format before PyTorch 1.6.

    Args:
      path: a file of four pickles (magic number, version, system, tensors), the order of the storages, and
        then each storage as its number of elements and its little-endian values.

    Returns:
      Tensor name to array: float32, or int64 for counters.

    Raises:
      ModelError: the file is of another format, cut short, or asks for anything but tensors.
    """
    try:
        with Path(path).open("rb") as file:
            if _Unpickler(file).load() != MAGIC:
                raise pickle.UnpicklingError("it does not open with PyTorch's magic number")
            _Unpickler(file).load()
            _Unpickler(file).load()
            tensors: dict[str, _Tensor] = _Unpickler(file).load()
            keys: list[str] = _Unpickler(file).load()
            dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
            storages = {key: _read_storage(file, dtypes[key]) for key in keys}
        return {name: _view(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise ModelError(
            f"{path}: not a readable PyTorch file of weights ({error}); install its package again"
        ) from error


def _read_storage(file: BinaryIO, dtype: str) -> NDArray[Any]:
    """The next storage of the file; raises ValueError when the file ends within it."""
    count = int.from_bytes(file.read(8), "little")
    data = file.read(count * np.dtype(dtype).itemsize)
    return np.frombuffer(data, dtype, count)


def _view(tensor: _Tensor, storage: NDArray[Any]) -> NDArray[Any]:
    """The tensor as an array of its own; raises ValueError when it reaches outside its storage."""
    last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    if min((tensor.offset, *tensor.strides)) < 0 or last >= len(storage):
        raise ValueError(f"a tensor of shape {tensor.shape} reaches outside its {len(storage)} values")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False).copy()
