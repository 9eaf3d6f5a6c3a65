"""What a consumer pulls: the model under a plain name, what explains it, and the sums that prove it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from efficientdet.bundle import MANIFEST_FILE, SAVED_MODEL_FOLDER, TFLITE_FILE, read_manifest, write_manifest
from efficientdet.errors import RegistryError
from efficientdet.registry import ModelVersion, Registry, parse_reference

FORMATS = {"tflite": (TFLITE_FILE,), "saved_model": (SAVED_MODEL_FOLDER,), "all": (TFLITE_FILE, SAVED_MODEL_FOLDER)}
PULLED_NAMES = {TFLITE_FILE: "model.tflite", SAVED_MODEL_FOLDER: "saved_model"}


def pull(registry: Registry, reference: str, output: str | Path, format: str = "tflite") -> ModelVersion:
    """Fetches `NAME`, `NAME@ALIAS` or `NAME@VERSION` into the folder `output` and returns the version.

    `format` is one of FORMATS. The folder then holds `model.tflite` and/or `saved_model/`, `label_map.json`,
    `config.yaml` and a `manifest.json` of exactly these. What an earlier pull left there is replaced, other
    files stay. RegistryError when one of them is in the way or a sum is wrong; then nothing in `output` changes.
    """
    name, selector = parse_reference(reference)
    output = Path(output).absolute()
    if output.exists() and not output.is_dir():
        raise RegistryError(f"{output}: is a file; give a folder to pull into")
    if format not in FORMATS:
        raise RegistryError(f"format {format!r}: not one of {', '.join(FORMATS)}")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=output.parent) as aside:
        folder = Path(aside) / "pulled"
        version = registry.fetch(name, selector, folder, only=FORMATS[format])
        for stored, plain in PULLED_NAMES.items():
            if (folder / stored).exists():
                (folder / stored).replace(folder / plain)
        manifest = read_manifest(folder)
        facts = {key: value for key, value in manifest.items() if key != "files"}
        write_manifest(folder, **facts | {"registered": {"name": version.name, "version": version.version}})
        _install(folder, output)
    return version


def _install(folder: Path, output: Path) -> None:
    """Moves the new files into place, the manifest last, after those of an earlier pull are gone."""
    earlier = _earlier(output)
    for new in folder.iterdir():
        target = output / new.name
        held = [path for path in target.rglob("*") if path.is_file()] if target.is_dir() else [target]
        foreign = [path for path in held if path.exists() and path not in earlier]
        if foreign:
            raise RegistryError(f"{foreign[0]}: no pull wrote this file and it will not be replaced; pull elsewhere")
    for path in earlier:
        path.unlink(missing_ok=True)
    for directory in sorted((path for path in output.rglob("*") if path.is_dir()), reverse=True):
        if any(directory in path.parents for path in earlier) and not any(directory.iterdir()):
            directory.rmdir()
    output.mkdir(exist_ok=True)
    for path in sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST_FILE):
        path.replace(output / path.name)


def _earlier(output: Path) -> set[Path]:
    """The files that an earlier pull left in the folder."""
    if not (output / MANIFEST_FILE).is_file():
        return set()
    return {output / path for path in (*read_manifest(output)["files"], MANIFEST_FILE)}
