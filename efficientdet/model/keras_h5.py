"""Reading a detector's variables from the `.h5` files of Keras 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from efficientdet.errors import ModelError
from efficientdet.model.variable_names import canonical_name


def read_h5(path: str | Path) -> dict[str, NDArray[Any]]:
    """The detector's variables in a file that `save_weights` or `save` of Keras 2 wrote.

    Returns:
      Variable name to value; other layers and the optimizer's state are left out.

    Raises:
      ModelError: the file is cut short, is no HDF5 file, or does not name its variables.
    """
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if not any(name.startswith("layer_names") for name in root.attrs):
                raise ModelError(
                    f"{path}: an .h5 file without variable names, as Keras 3 writes it; "
                    "give the folder of a trained detector, or a file of Keras 2"
                )
            return {name: np.asarray(value) for name, value in _named(root)}
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise ModelError(f"{path}: not a readable Keras .h5 file ({error}); copy it again") from error


def _named(root: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    for layer in _texts(root, "layer_names"):
        for name in _texts(root[layer], "weight_names"):
            if canonical := canonical_name(name):
                yield canonical, root[layer][name]


def _texts(group: h5py.Group, attribute: str) -> Iterator[str]:
    """The texts of an attribute, which Keras divides into `attribute0`, `attribute1` ... beyond 64 KB."""
    parts = [attribute] if attribute in group.attrs else [f"{attribute}{i}" for i in range(len(group.attrs))]
    for part in parts:
        for text in group.attrs.get(part, ()):
            yield text.decode() if isinstance(text, bytes) else str(text)
