"""What a consumer pulls: the model under a plain name, what explains it, and the sums that prove it."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from efficientdet.best_threshold import TAG as THRESHOLDS_TAG
from efficientdet.bundle import MANIFEST_FILE, SAVED_MODEL_FOLDER, read_manifest, write_manifest
from efficientdet.errors import RegistryError
from efficientdet.registry import DOCUMENTS_FOLDER, MODEL_CARD, ModelVersion, Source, parse_reference

TFLITE, SAVED_MODEL = "tflite", "saved_model"
FORMATS = {TFLITE: (TFLITE,), SAVED_MODEL: (SAVED_MODEL,), "all": (TFLITE, SAVED_MODEL)}
PULLED_TFLITE = "model.tflite"
PULLED_CARD = "model_card.md"


def pull(
    registry: Source,
    reference: str,
    output: str | Path,
    format: str = TFLITE,
    variant: str = "int8",
    thresholds: bool = False,
) -> ModelVersion:
    """Fetches `NAME`, `NAME@ALIAS` or `NAME@VERSION` into a folder and returns the version.

    The folder then holds `model.tflite` and/or `saved_model/`, `label_map.json`, `config.yaml`, `model_card.md` where
    the version has one, and a `manifest.json` of exactly these. What an earlier pull left there is replaced, other
    files stay.

    Args:
      registry: where the model is registered.
      reference: its name, with an alias or version.
      output: the folder.
      format: one of FORMATS.
      variant: which of the version's TFLite files, as `float16`.
      thresholds: have clients of the TFLite drop what scores below the threshold that the evaluation found best for
        its class. The file that is written is the registered one but for its metadata.

    Raises RegistryError when a file is in the way, a sum is wrong (TamperedError), or there is no such version, variant
    (NotRegisteredError) or no thresholds; then nothing in `output` changes.
    """
    name, selector = parse_reference(reference)
    output = Path(output).absolute()
    if output.exists() and not output.is_dir():
        raise RegistryError(f"{output}: is a file; give a folder to pull into")
    if format not in FORMATS:
        raise RegistryError(f"format {format!r}: not one of {', '.join(FORMATS)}")
    stored = {TFLITE: f"model_{variant}.tflite", SAVED_MODEL: SAVED_MODEL_FOLDER}
    plain = {TFLITE: PULLED_TFLITE, SAVED_MODEL: SAVED_MODEL}
    if thresholds:
        document = _thresholds_of(registry.get(name, selector), format)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=output.parent) as aside:
        folder = Path(aside) / "pulled"
        wanted = [stored[part] for part in FORMATS[format]]
        version = registry.fetch(name, selector, folder, only=[*wanted, document] if thresholds else wanted)
        for part in FORMATS[format]:
            (folder / stored[part]).replace(folder / plain[part])
        if thresholds:
            _set_thresholds(folder, document, variant)
        if (folder / MODEL_CARD).is_file():
            (folder / MODEL_CARD).replace(folder / PULLED_CARD)
        if (folder / DOCUMENTS_FOLDER).is_dir():
            shutil.rmtree(folder / DOCUMENTS_FOLDER)
        manifest = read_manifest(folder)
        facts = {key: value for key, value in manifest.items() if key != "files"}
        write_manifest(folder, **facts | {"registered": {"name": version.name, "version": version.version}})
        _install(folder, output)
    return version


def _thresholds_of(version: ModelVersion, format: str) -> str:
    """Where among the version's files its best thresholds are."""
    if TFLITE not in FORMATS[format]:
        raise RegistryError(f"format {format!r}: thresholds are for a TFLite; leave them out, or pull one")
    if THRESHOLDS_TAG not in version.tags:
        raise RegistryError(f"{version}: was registered without the thresholds of an evaluation; pull without them")
    return version.tags[THRESHOLDS_TAG]


def _set_thresholds(folder: Path, document: str, variant: str) -> None:
    """Puts the best thresholds into the pulled TFLite, and the document that holds them away."""
    from efficientdet.score_thresholds import set_score_thresholds

    best = json.loads((folder / document).read_text(encoding="utf-8")).get(variant)
    if best is None:
        raise RegistryError(f"{folder / document}: holds no thresholds of {variant!r}; pull without them")
    set_score_thresholds(folder / PULLED_TFLITE, best, folder / PULLED_TFLITE)


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
