"""Hand-written `.h5` files in Keras 2's layout."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from efficientdet.errors import ModelError
from efficientdet.model.keras_h5 import read_h5

BIAS = "class_net/class-predict/bias"


def write_layer(root: h5py.Group, layer: str, **weights: float) -> None:
    """One layer of one-element weights; `__` in a keyword stands for `/`."""
    names = [f"{name.replace('__', '/')}:0" for name in weights]
    root.attrs["layer_names"] = [layer.encode()]
    group = root.create_group(layer)
    group.attrs["weight_names"] = [name.encode() for name in names]
    for name, value in zip(names, weights.values(), strict=True):
        group[name] = np.float32([value])


def test_weights_and_whole_models(tmp_path: Path):
    for place in ("weights", "model"):
        with h5py.File(tmp_path / f"{place}.h5", "w") as file:
            root = file if place == "weights" else file.create_group("model_weights")
            write_layer(root, "class_net", class_net__bn__beta=1, other__beta=2)
        assert read_h5(tmp_path / f"{place}.h5") == {"class_net/bn/beta": np.float32([1])}


def test_long_lists_of_names_are_divided(tmp_path: Path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write_layer(file, "class_net", class_net__bn__beta=1, class_net__bn__gamma=2)
        attributes = file["class_net"].attrs
        first, second = attributes["weight_names"]
        del attributes["weight_names"]
        attributes["weight_names0"], attributes["weight_names1"] = [first], [second]
    assert set(read_h5(tmp_path / "w.h5")) == {"class_net/bn/beta", "class_net/bn/gamma"}


def test_a_file_of_keras_3_is_named(tmp_path: Path):
    with h5py.File(tmp_path / "detector.weights.h5", "w") as file:
        file["layers/class_net/vars/0"] = np.zeros(3)
    with pytest.raises(ModelError, match="without variable names, as Keras 3 writes it; give the folder"):
        read_h5(tmp_path / "detector.weights.h5")


@pytest.mark.parametrize("content", ["cut", "empty", "text"])
def test_damage_is_one_sentence(tmp_path: Path, content: str):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        write_layer(file, "class_net", class_net__bn__beta=1)
    path.write_bytes({"cut": path.read_bytes()[:1000], "empty": b"", "text": b"hello"}[content])
    with pytest.raises(ModelError, match=r"w\.h5: not a readable Keras \.h5 file"):
        read_h5(path)


def test_a_name_without_its_data(tmp_path: Path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write_layer(file, "class_net", class_net__bn__beta=1)
        del file["class_net/class_net/bn/beta:0"]
    with pytest.raises(ModelError, match="not a readable Keras"):
        read_h5(tmp_path / "w.h5")
