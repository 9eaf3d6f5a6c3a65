"""Image files that lie in a folder and in no split."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from efficientdet.check.record_names import plain_name
from efficientdet.check.spill import Spill
from efficientdet.check.split import Split
from efficientdet.data.ledger import Finding

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm")


def note_listed(split: Split, image: str, spill: Spill) -> None:
    """Remembers that a split lists an image."""
    if split.images is not None:
        spill.count(_files(split.images), plain_name(image))


def unlisted(splits: Sequence[Split], spill: Spill) -> Iterator[tuple[str, Finding]]:
    """A Finding for each image file that no split lists, nor any image set beside it.

    Each comes with the split it is about, of those that share a folder the first.
    """
    searched: set[Path] = set()
    for split in splits:
        if split.images is None or split.images.resolve() in searched:
            continue
        searched.add(split.images.resolve())
        name = _files(split.images)
        for image_set in split.lists:
            _note_stems(image_set, f"stems of {name}", spill)
        for file in _image_files(split.images):
            stem = posixpath.splitext(file)[0]
            if not spill.holds(name, file) and not spill.holds(f"stems of {name}", stem):
                said = "is in the image folder, and no split lists it"
                yield split.name, Finding("unlisted image file", str(split.images), file, said, "noted", "image")


def _note_stems(image_set: Path, name: str, spill: Spill) -> None:
    with suppress(OSError), image_set.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        for line in lines:
            if words := line.split():
                spill.count(name, words[0])


def _image_files(folder: Path) -> Iterator[str]:
    """Names relative to the folder, with `/`."""
    for place, _, files in os.walk(folder):
        for file in files:
            if posixpath.splitext(file)[1].lower() in SUFFIXES:
                yield Path(place, file).relative_to(folder).as_posix()


def _files(folder: Path) -> str:
    """The name of the set of listed files."""
    return f"files of {folder.resolve()}"
