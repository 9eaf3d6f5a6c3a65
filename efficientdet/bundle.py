"""The exported bundle: what an export folder holds, and the manifest that proves it is whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.atomic_file import write_json
from efficientdet.errors import ModelError

SAVED_MODEL_FOLDER = "Format-Serving"
"""Where TFX's own tools look for a SavedModel inside a Model artifact."""
ASSETS_FOLDER = "assets.extra"
"""The folder of a SavedModel that TensorFlow leaves to its owner's files: its config and label map."""
TFLITE_FILE = "model_int8.tflite"
MANIFEST_FILE = "manifest.json"


def variants(folder: str | Path) -> dict[str, Path]:
    """What is judged of a bundle, each with its name there: `float` the SavedModel, `int8` of model_int8.tflite.

    The SavedModel is first, then the TFLite files by name. Those without post-processing, as `int8_raw`, are judged by
    what they answer with ours behind them.
    """
    folder = Path(folder)
    files = sorted(folder.glob("model_*.tflite"))
    return {"float": folder / SAVED_MODEL_FOLDER} | {path.stem.removeprefix("model_"): path for path in files}


def unjudged(folder: str | Path) -> list[str]:
    """The files and folders of a model that a bundle ships besides, by their names there: nobody scores or tries them.

    A frozen graph and TensorRT's SavedModel hold the graph of the SavedModel that is judged; ONNX Runtime and TensorRT
    need not be where models are judged.
    """
    folder = Path(folder)
    known = {MANIFEST_FILE, config_file.FILE_NAME, label_map_file.FILE_NAME}
    known |= {path.name for path in variants(folder).values()}
    return sorted(path.name for path in folder.iterdir() if path.name not in known and not path.name.startswith("."))


def write_manifest(folder: str | Path, **facts: Any) -> dict[str, Any]:
    """Writes `manifest.json`, the last file of a bundle, and returns its content.

    It holds `facts` (JSON-ready values) and `files`: for every file below `folder`, by its posix path,
    the `sha256` hex digest and the number of `bytes`. The file appears complete or not at all.
    """
    folder = Path(folder)
    files = {name: _entry(folder / name) for name in _names(folder)}
    manifest = {**facts, "files": files}
    write_json(folder / MANIFEST_FILE, manifest)
    return manifest


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The content of `manifest.json` in `folder`; raises ModelError when it is missing or damaged."""
    path = Path(folder) / MANIFEST_FILE
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        entries = {name: (entry["sha256"], entry["bytes"]) for name, entry in manifest["files"].items()}
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror}); the export did not finish, run it again"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path}: is not a manifest of a bundle; export or pull the model again") from error
    for name in entries:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ModelError(f"{path}: lists {name!r}, which lies outside the bundle; do not use this model")
    return dict(manifest)


def strangers(folder: str | Path) -> list[str]:
    """Posix paths of the files below a folder that its manifest does not list: all of them without a manifest."""
    folder = Path(folder)
    try:
        listed = {*read_manifest(folder)["files"], MANIFEST_FILE}
    except ModelError:
        listed = set()
    return sorted({p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()} - listed)


def verify_manifest(folder: str | Path, names: Iterable[str] | None = None) -> dict[str, Any]:
    """The manifest of `folder`, after every listed file was found with its size and sha256.

    `names` limits the check to some of the listed files, for a folder into which only those were copied;
    without it a file that is not listed is an error too. Raises ModelError naming the first bad file.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    listed = manifest["files"]
    strangers = sorted(set(_names(folder)) - set(listed)) if names is None else sorted(set(names) - set(listed))
    if strangers:
        raise ModelError(f"{folder / strangers[0]}: is not in {MANIFEST_FILE}; export or pull the model again")
    for name in listed if names is None else names:
        if not (folder / name).is_file():
            raise ModelError(f"{folder / name}: is missing; export or pull the model again")
        if _entry(folder / name) != {key: listed[name][key] for key in ("sha256", "bytes")}:
            raise ModelError(f"{folder / name}: differs from {MANIFEST_FILE} (sha256); export or pull the model again")
    return manifest


def _names(folder: Path) -> list[str]:
    """Posix paths of every file below `folder` except the manifest itself, sorted."""
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(name for name in names if name != MANIFEST_FILE)


def _entry(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return {"sha256": digest.hexdigest(), "bytes": path.stat().st_size}
