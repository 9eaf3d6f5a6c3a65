"""A clean copy of VOC annotations: one XML for each image that can be used, and the lists of these."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from efficientdet.boxes import clip
from efficientdet.check.spill import Spill
from efficientdet.check.split import Split
from efficientdet.data.annotation import ImageAnnotation
from efficientdet.data.example import AnnotatedImage
from efficientdet.data.image_file import UnusableError, locate
from efficientdet.data.ledger import Finding
from efficientdet.data.voc import ANNOTATION_FOLDER

# As the reader takes it: bytes that are not UTF-8 stay as they are in names of files.
_TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}
SIDES = ("ymin", "xmin", "ymax", "xmax")


class VocFix:
    """Writes Annotations/STEM.xml and ImageSets/Main/NAME.txt of one split; elements that we do not know stay."""

    def __init__(self, split: Split, folder: Path, spill: Spill) -> None:
        self._split, self._folder, self._spill = split, folder, spill

    def image(self, annotation: ImageAnnotation, image: AnnotatedImage | None, findings: Sequence[Finding]) -> None:
        """Writes the XML of an image that can be used."""
        if image is None:
            return
        outcomes = {finding.record: finding.outcome for finding in findings if finding.outcome != "noted"}
        root = ElementTree.parse(annotation.file).getroot()  # The reader has parsed it before, and found no entities.
        _set(root, "size/height", str(image.height))
        _set(root, "size/width", str(image.width))
        for element, box in zip(root.findall("object"), annotation.boxes, strict=True):
            outcome = outcomes.get(f"{annotation.record}, {box.record}")
            if outcome in ("dropped", "merged"):
                root.remove(element)
            elif outcome == "clipped" and box.corners is not None:
                ymin, xmin, ymax, xmax = clip(np.array([box.corners]), image.height, image.width)[0].tolist()
                for side, value in zip(SIDES, (ymin + 1, xmin + 1, ymax, xmax), strict=True):
                    _set(element, f"bndbox/{side}", f"{int(value) if value.is_integer() else value}")
        # A stem may lead out of one folder and into it again, but not out of this one.
        with suppress(UnusableError):
            path = locate(self._folder, ANNOTATION_FOLDER, f"{annotation.source_id}.xml")
            path.parent.mkdir(parents=True, exist_ok=True)
            ElementTree.ElementTree(root).write(path, encoding="utf-8")
            self._spill.count(self._kept, annotation.source_id)

    def finding(self, finding: Finding) -> None:
        """What the reader judged is of no image."""

    def finish(self) -> None:
        """Writes the list: the lines of the images that are kept, each once."""
        target = self._folder / "ImageSets" / "Main" / Path(self._split.source).name
        target.parent.mkdir(parents=True, exist_ok=True)
        with Path(self._split.source).open(**_TEXT) as lines, target.open("w", **_TEXT) as clean:
            for line in lines:
                stem = line.split()[0] if line.strip() else ""
                if self._spill.holds(self._kept, stem) and self._spill.count(self._written, stem) == 1:
                    clean.write(line.rstrip("\n") + "\n")

    @property
    def _kept(self) -> str:
        return f"kept of {self._split.name}"

    @property
    def _written(self) -> str:
        return f"written of {self._split.name}"


def _set(element: ElementTree.Element, path: str, text: str) -> None:
    """Gives the element at `path` a text, which makes it where it is missing."""
    for name in path.split("/"):
        child = element.find(name)
        element = ElementTree.SubElement(element, name) if child is None else child
    element.text = text
