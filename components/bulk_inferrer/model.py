"""Which model a bulk inference uses, to the last byte."""

from __future__ import annotations

from hashlib import file_digest, sha256
from pathlib import Path

from efficientdet import config as config_file
from efficientdet import label_map as label_map_file
from efficientdet.detector_file import locate


def content_sha256(model: Path) -> str:
    """The SHA-256 of a model's file; of its folder, or a frozen graph with what describes it, of names and contents.

    That is what `open_detector` opens. Raises ModelError when there is none.
    """
    _, place = locate(model)
    if place.is_dir():
        files = sorted(path for path in place.rglob("*") if path.is_file())
    elif place.suffix == ".pb":
        described = (place.with_name(name) for name in (config_file.FILE_NAME, label_map_file.FILE_NAME))
        files = [place, *(path for path in described if path.is_file())]
    else:
        return _digest(place)
    lines = [f"{path.relative_to(place if place.is_dir() else place.parent)} {_digest(path)}\n" for path in files]
    return sha256("".join(lines).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
