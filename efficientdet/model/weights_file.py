"""Reading a detector's variables from whatever google/automl, Keras 2 and TensorFlow Hub write them to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from efficientdet.errors import ModelError
from efficientdet.model.keras_h5 import read_h5
from efficientdet.model.tf_checkpoint import newest_checkpoint, read_checkpoint
from efficientdet.model.weights_source import local_copy

KINDS = "a TensorFlow checkpoint, a SavedModel, a Keras .h5 file, or a .tar.gz of one of these"
SAVED_MODEL = "saved_model.pb"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def read_weights(source: str | Path) -> dict[str, NDArray[Any]]:
    """The variables of a detector or a backbone, by google/automl's names.

    Args:
      source: path, or address as in `weights_source.local_copy`, of a TensorFlow checkpoint (its prefix, its
        `.index` file, or its folder, of which the newest is taken), a SavedModel or TensorFlow Hub module, a
        Keras 2 `.h5` file, or a `.tar.gz` of one of these.

    Returns:
      Name to value, as in `class_net/class-predict/bias`; where a checkpoint has lost the name, the attribute
      path stands for it (see `variable_names.attribute_paths`). Moving averages take the place of what they
      average; the optimizer's state is left out.

    Raises:
      ModelError: there is nothing, it is damaged, of another kind, or holds no variable of a detector.
    """
    with local_copy(source) as path:
        try:
            weights = _read(path)
        except ModelError as error:  # which knows the unpacked copy, not what the user gave
            raise ModelError(str(error).replace(str(path), str(source), 1)) from error
    if not weights:
        raise ModelError(f"{source}: holds no variable of an EfficientDet; give a checkpoint of google/automl's")
    return weights


def _read(path: Path) -> dict[str, NDArray[Any]]:
    if path.is_dir():
        return _read_folder(path)
    if path.name == SAVED_MODEL:
        return _read_folder(path.parent)
    if path.suffix == ".index" or Path(f"{path}.index").is_file():
        return read_checkpoint(str(path).removesuffix(".index"))
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file, folder or checkpoint; check the path")
    with path.open("rb") as file:
        opening = file.read(len(HDF5_MAGIC))
    if opening == HDF5_MAGIC:
        return read_h5(path)
    raise ModelError(f"{path}: {_described(opening)}, but {KINDS} is needed")


def _read_folder(folder: Path) -> dict[str, NDArray[Any]]:
    if (folder / SAVED_MODEL).is_file():
        # The checkpoint inside names every variable, so the module itself is neither loaded nor run.
        return read_checkpoint(folder / "variables/variables")
    visible = [entry for entry in folder.iterdir() if not entry.name.startswith((".", "__"))]
    names = {entry.name for entry in visible}
    if "checkpoint" in names or any(name.endswith(".index") for name in names):
        return read_checkpoint(newest_checkpoint(folder))
    inside = [entry for entry in visible if entry.is_dir() or entry.suffix == ".h5"]
    if len(inside) != 1:
        found = ", ".join(sorted(names)[:5]) or "nothing"
        raise ModelError(f"{folder}: holds {found}, but {KINDS} is needed; give the path of the one you mean")
    return _read(inside[0])


def _described(opening: bytes) -> str:
    if not opening:
        return "an empty file"
    if opening.startswith(b"PK"):
        return "a zip archive (as Keras 3 and PyTorch write them)"
    return "a file of another kind"
