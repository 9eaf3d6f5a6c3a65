"""Every kind of file through the one function, the reference's own files among them."""

from __future__ import annotations

import importlib.util
import json
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf

from efficientdet.errors import ModelError
from efficientdet.model.weights_file import read_weights

BIAS, KERNEL = "class_net/class-predict/bias", "efficientnet-lite0/stem/conv2d/kernel"
EXPECTED = {BIAS: [1.0], KERNEL: [2.0]}


def detector() -> tf.Module:
    module = tf.Module()
    module.weights = [tf.Variable([1.0], name=BIAS), tf.Variable([2.0], name=KERNEL)]
    return module


def write_checkpoint(folder: Path) -> Path:
    tf.train.Checkpoint(model=detector()).save(str(folder / "ckpt"))
    return folder


def write_saved_model(folder: Path) -> Path:
    tf.saved_model.save(detector(), str(folder / "module"))
    return folder / "module"


def write_h5(folder: Path) -> Path:
    with h5py.File(folder / "weights.h5", "w") as file:
        file.attrs["layer_names"] = [b"all"]
        group = file.create_group("all")
        group.attrs["weight_names"] = [f"{name}:0".encode() for name in EXPECTED]
        for name, value in EXPECTED.items():
            group[f"{name}:0"] = np.float32(value)
    return folder / "weights.h5"


def read(path: Path | str) -> dict[str, list[float]]:
    return {name: value.tolist() for name, value in read_weights(path).items()}


@pytest.mark.parametrize("name", ["", "ckpt-1", "ckpt-1.index"])
def test_checkpoints(tmp_path: Path, name: str):
    assert read(write_checkpoint(tmp_path) / name) == EXPECTED


@pytest.mark.parametrize("name", ["", "saved_model.pb", "variables"])
def test_saved_models(tmp_path: Path, name: str):
    assert read(write_saved_model(tmp_path) / name) == EXPECTED


def test_h5(tmp_path: Path):
    assert read(write_h5(tmp_path)) == EXPECTED


@pytest.mark.parametrize("write", [write_checkpoint, write_saved_model, write_h5])
@pytest.mark.parametrize("inside", [".", "efficientdet-d0"])
def test_archives(tmp_path: Path, write: object, inside: str):
    content = write(tmp_path)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(content, f"{inside}/{content.name}" if content.is_file() else inside)
    assert read(tmp_path / "a.tar.gz") == EXPECTED


def test_wrong_kinds_are_named(tmp_path: Path):
    for name, content, what in (
        ("notes.txt", b"hello", "a file of another kind"),
        ("empty.h5", b"", "an empty file"),
        ("page.index", b"<html>", "not a readable TensorFlow checkpoint"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=what):
            read_weights(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ModelError, match="a zip archive"):
        read_weights(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"none: there is no such file, folder or checkpoint"):
        read_weights(tmp_path / "none")
    with pytest.raises(ModelError, match=r"holds .*notes\.txt.*, but a TensorFlow checkpoint"):
        read_weights(write_other(tmp_path / "folder"))


def write_other(folder: Path) -> Path:
    folder.mkdir()
    (folder / "notes.txt").write_text("hello")
    return folder


def test_a_checkpoint_of_something_else(tmp_path: Path):
    tf.train.Checkpoint(x=tf.Variable(1.0)).write(str(tmp_path / "ckpt"))
    with pytest.raises(ModelError, match="holds no variable of an EfficientDet"):
        read_weights(tmp_path / "ckpt")


def test_errors_name_the_archive_not_its_copy(tmp_path: Path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(write_other(tmp_path / "folder"), "d0")
    with pytest.raises(ModelError, match=r"a\.tar\.gz/d0: holds notes\.txt"):
        read_weights(tmp_path / "a.tar.gz")


@pytest.mark.parametrize(
    ("file", "model", "growth", "salt"),
    [
        ("efficientdet-d0_tf2.tar.gz", "efficientdet-d0", 2.0, ""),
        ("efficientdet-lite0.h5", "efficientdet-lite0", 1.0, ""),
        ("efficientdet-lite0_tf1name_ema.tar.gz", "efficientdet-lite0", 1.0, "ema:"),
    ],
)
def test_files_of_the_reference(shared: Path, file: str, model: str, growth: float, salt: str):
    """Every value equals the rule that the reference's networks were filled by before they were saved."""
    spec = importlib.util.spec_from_file_location("golden_fill", shared / "golden/fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    fill.G = growth
    weights = read_weights(shared / "golden/ckpt" / file)
    variables = json.loads((shared / "golden/models.json").read_text())[model]["variables"]
    assert {name: list(value.shape) for name, value in weights.items()} == {v["name"]: v["shape"] for v in variables}
    for name, value in weights.items():
        np.testing.assert_array_equal(value, fill.value(name, value.shape, salt), err_msg=name)
