"""Clean annotations beside faulty ones: what a check found to be lost or wrong is left out, cut or filled in.

The input is never touched. What is written appears complete when all of it is, or not at all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol

from efficientdet.check.fix_coco import CocoFix
from efficientdet.check.fix_voc import VocFix
from efficientdet.check.spill import Spill
from efficientdet.check.split import Split
from efficientdet.data.annotation import ImageAnnotation
from efficientdet.data.example import AnnotatedImage
from efficientdet.data.ledger import Finding
from efficientdet.errors import DataError


class Writer(Protocol):
    """Writes the clean form of one split into a folder."""

    def image(self, annotation: ImageAnnotation, image: AnnotatedImage | None, findings: Sequence[Finding]) -> None:
        """Takes note of an image, as `admit` judged it."""

    def finding(self, finding: Finding) -> None:
        """Takes note of a record that the reader itself judged."""

    def finish(self) -> None:
        """Writes what is not written yet."""


class Fix:
    """The clean form of some splits, in a folder; without a folder it does nothing.

    Raises DataError when the folder holds the input or one of the files to be written, or there is nothing to write
    to, as for shards, which are made again from mended annotations.
    """

    def __init__(self, folder: Path | None, splits: Sequence[Split], spill: Spill) -> None:
        self._folder, self._splits, self._spill = folder, splits, spill
        self._writers: dict[str, Writer] = {}
        self._closing = ExitStack()
        if folder is not None:
            _require_room(folder, splits)

    def __enter__(self) -> Fix:
        if self._folder is not None:
            new = not self._folder.exists()
            self._folder.mkdir(parents=True, exist_ok=True)
            if new:
                self._closing.callback(_remove_empty, self._folder)
            aside = tempfile.TemporaryDirectory(prefix=".check-", dir=self._folder)
            self._aside = Path(self._closing.enter_context(aside))
            for split in self._splits:
                kind = CocoFix if split.form == "coco" else VocFix
                self._writers[split.name] = kind(split, self._aside, self._spill)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.close()

    def image(
        self, split: Split, annotation: ImageAnnotation, image: AnnotatedImage | None, findings: Sequence[Finding]
    ) -> None:
        """Takes note of an image, as `admit` judged it."""
        if writer := self._writers.get(split.name):
            writer.image(annotation, image, findings)

    def finding(self, split: Split, finding: Finding) -> None:
        """Takes note of a record that the reader itself judged."""
        if writer := self._writers.get(split.name):
            writer.finding(finding)

    def finish(self) -> list[Path]:
        """Writes the rest and moves all into place; the files and folders that came to be."""
        if self._folder is None:
            return []
        for writer in self._writers.values():
            writer.finish()
        written = []
        for entry in sorted(self._aside.iterdir()):
            written.append(self._folder / entry.name)
            entry.rename(written[-1])
        return written


def _require_room(folder: Path, splits: Sequence[Split]) -> None:
    """Raises DataError unless all that is to be written is new."""
    names: list[str] = []
    for split in splits:
        if split.form == "examples":
            remedy = "mend the annotations and generate the examples again"
            raise DataError(f"{split.source}: shards are not mended with --fix; {remedy}")
        if Path(split.source).resolve().is_relative_to(folder.resolve()):
            raise DataError(f"--fix={folder}: holds the input {split.source}; name another folder")
        names += [Path(split.source).name] if split.form == "coco" else ["Annotations", "ImageSets"]
    for name in names:
        if (folder / name).exists():
            raise DataError(f"{folder / name}: is there already; --fix overwrites nothing, name another folder")
    sources = [Path(split.source).name for split in splits]
    if len(set(sources)) < len(sources):
        raise DataError(f"--fix={folder}: two splits have files of the same name; fix them one after the other")


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
