"""The check itself: one pass over each split, one image at a time."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from efficientdet.anchor_suggestion import suggest_anchors
from efficientdet.check.anchor_match import AnchorMatch
from efficientdet.check.class_balance import unbalanced
from efficientdet.check.duplicates import DuplicateIndex, Sight, Twin
from efficientdet.check.fix import Fix
from efficientdet.check.picture import Corners, Picture, thumbnail
from efficientdet.check.record_names import AGAIN, plain_name, with_unique_records
from efficientdet.check.report import Report, SplitReport
from efficientdet.check.rules import Admitted, odd
from efficientdet.check.spill import Spill
from efficientdet.check.split import Split
from efficientdet.config import Config
from efficientdet.data.admission import account, admit
from efficientdet.data.annotation import ImageAnnotation
from efficientdet.data.example import AnnotatedImage
from efficientdet.data.image_file import UnusableError, locate
from efficientdet.data.ledger import Finding
from efficientdet.errors import reason

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def check_splits(
    splits: Sequence[Split],
    config: Config,
    pictures: bool = False,
    fix: Path | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Report:
    """Everything that is wrong or odd about the splits; the first one is thought to be trained on.

    Args:
      config: the model whose input and anchors the boxes are compared with.
      pictures: keeps thumbnails of the first images of each problem.
      fix: folder to write clean annotations into, see `efficientdet.check.fix`.
      progress: called after each image.

    Raises DataError when a split cannot be read at all, or nothing may be written to `fix`.
    """
    report = Report(
        splits[0].label_map, config.model.name, {split.name: SplitReport(str(split.source)) for split in splits}
    )
    with Spill() as spill, Fix(fix, splits, spill) as writing:
        index, match = DuplicateIndex(spill), AnchorMatch(config)
        for split in splits:
            _Inspection(split, report, spill, index, match, pictures, writing).run(progress)
        for split in splits:
            for finding in _unlisted(split, splits, spill):
                report.add(split.name, finding)
        report.fixed = writing.finish()
    counts = {name: split.classes for name, split in report.splits.items()}
    for name, finding in unbalanced(counts, {split.name: str(split.source) for split in splits}, report.labels):
        report.add(name, finding)
    if len(report.sample.shapes):
        report.suggestion = suggest_anchors(report.sample.shapes, config)
    return report


class _Inspection:
    """One split being checked."""

    def __init__(
        self,
        split: Split,
        report: Report,
        spill: Spill,
        index: DuplicateIndex,
        match: AnchorMatch,
        pictures: bool,
        fix: Fix,
    ) -> None:
        self._split, self._report, self._spill, self._index = split, report, spill, index
        self._match, self._pictures, self._fix = match, pictures, fix
        self._counts = report.splits[split.name]

    def run(self, progress: Callable[[], None]) -> None:
        for entry in self._split.read():
            if isinstance(entry, ImageAnnotation):
                self._image(with_unique_records(entry))
                progress()
                continue
            counted = account(entry)
            self._counts.ledger.images += counted.images
            self._counts.ledger.boxes += counted.boxes
            if isinstance(entry, Finding):
                self._fix.finding(self._split, entry)
                self._report.add(self._split.name, entry)

    def _image(self, annotation: ImageAnnotation) -> None:
        split = self._split
        self._spill.count(_listed(split), plain_name(annotation.image))
        image, ledger = admit(annotation, split.root or "", split.folder, split.classes)
        self._counts.ledger.images += ledger.images
        self._counts.ledger.boxes += ledger.boxes
        findings = [*ledger.findings, *self._repeated_ids(annotation)]
        if image is None:
            # The boxes of an image that cannot be used are in the ledger's counts, and no problem of their own.
            findings = [finding for finding in findings if finding.of == "image"]
            self._note(findings, annotation, None)
            return self._fix.image(split, annotation, None, ledger.findings)
        try:
            sight = Sight.of(image.encoded)
        except Exception as error:  # Decoders raise any type on damaged bytes.
            said = f"the image cannot be decoded as a whole ({reason(error)})"
            damage = Finding("undecodable image", annotation.file, annotation.record, said, "noted", "image")
            self._note([damage], annotation, None)
            return self._fix.image(split, annotation, None, ledger.findings)
        admitted = Admitted.of(annotation, image, ledger.findings, self._match)
        self._report.add_image(split.name, admitted)
        self._note([*findings, *odd(admitted, split.label_map)], annotation, image)
        path = str(split.images / annotation.image) if split.images is not None else ""
        for twin in self._index.add(split.name, annotation.record, path, sight):
            self._twin(annotation, image, twin)
        return self._fix.image(split, annotation, image, ledger.findings)

    def _note(self, findings: Sequence[Finding], annotation: ImageAnnotation, image: AnnotatedImage | None) -> None:
        """Puts the findings about an image into the report."""
        strange = {finding.record for finding in findings if finding.reason == "unknown category"}
        for box in annotation.boxes if strange else ():
            if f"{annotation.record}, {box.record}" in strange:
                self._counts.classes.add_strange(box.category)
        of_case: dict[str, list[Finding]] = {}
        for finding in findings:
            case = self._report.add(self._split.name, finding)
            of_case.setdefault(case.problem.code, []).append(finding)
        for code, found in of_case.items():
            case = self._report.cases[code]
            if self._pictures and case.wants_picture:
                case.pictures.append(self._picture(found, annotation, image))

    def _repeated_ids(self, annotation: ImageAnnotation) -> Iterator[Finding]:
        """What shares its id, or an image's id in shards, with an earlier record of the split."""
        split = self._split
        given = annotation.source_id if split.form == "examples" else ""
        if given and self._spill.count(f"images of {split.name}", given) > 1:
            said = f"image id {given} was given to another record before"
            yield Finding("duplicate image id", annotation.file, annotation.record, said, "noted", "image")
        if split.form == "coco":
            for box in annotation.boxes:
                given = box.record.removesuffix(AGAIN)
                if self._spill.count(f"annotations of {split.name}", given) > 1:
                    record = f"{annotation.record}, {box.record}"
                    yield Finding(
                        "duplicate annotation id", annotation.file, record, "shares its id with an earlier one", "noted"
                    )

    def _twin(self, annotation: ImageAnnotation, image: AnnotatedImage, twin: Twin) -> None:
        own = twin.split == self._split.name
        name = {
            (True, True): "duplicate image",
            (True, False): "near-duplicate image",
            (False, True): "leaked image",
            (False, False): "nearly leaked image",
        }[own, twin.exact]
        where = twin.record if own else f"{twin.record} of {twin.split}"
        said = f"{'has the same bytes as' if twin.exact else 'looks the same as'} {where}"
        finding = Finding(name, annotation.file, annotation.record, said, "noted", "image")
        case = self._report.add(self._split.name, finding)
        if self._pictures and case.wants_picture:
            shown = [thumbnail(image.encoded)]
            with suppress(OSError):
                shown.append(thumbnail(Path(twin.path).read_bytes()) if twin.path else None)
            case.pictures.append(Picture(tuple(jpeg for jpeg in shown if jpeg), f"{annotation.record}: {said}"))

    def _picture(
        self, findings: Sequence[Finding], annotation: ImageAnnotation, image: AnnotatedImage | None
    ) -> Picture:
        """The image with what one problem is about."""
        encoded = image.encoded if image is not None else self._encoded(annotation)
        sides = (image.height, image.width) if image is not None else (annotation.height or 1, annotation.width or 1)
        boxes, offenders = _corners(annotation, {finding.record for finding in findings}, sides)
        jpeg = thumbnail(encoded, boxes, offenders) if encoded else None
        more = f" (and {len(findings) - 1} more in this image)" if len(findings) > 1 else ""
        return Picture((jpeg,) if jpeg else (), f"{findings[0].record}: {findings[0].message}{more}")

    def _encoded(self, annotation: ImageAnnotation) -> bytes | None:
        """The file of an image that was not admitted, if there is one."""
        if annotation.encoded or self._split.root is None:
            return annotation.encoded
        with suppress(UnusableError, OSError):
            return locate(self._split.root, self._split.folder, annotation.image).read_bytes()
        return None


def _corners(
    annotation: ImageAnnotation, records: Collection[str], sides: tuple[int, int]
) -> tuple[list[Corners], list[Corners]]:
    """The boxes of an image of some height and width, in pixels: those of other records, and those of `records`."""
    scale = sides if annotation.normalised else (1, 1)
    others: list[Corners] = []
    meant: list[Corners] = []
    for box in annotation.boxes:
        if box.corners is not None:
            ymin, xmin, ymax, xmax = box.corners
            corners = (ymin * scale[0], xmin * scale[1], ymax * scale[0], xmax * scale[1])
            (meant if f"{annotation.record}, {box.record}" in records else others).append(corners)
    return others, meant


def _listed(split: Split) -> str:
    """The name of the set of files that are listed of a split's image folder."""
    return f"files of {split.images.resolve()}" if split.images is not None else f"records of {split.name}"


def _unlisted(split: Split, splits: Sequence[Split], spill: Spill) -> Iterator[Finding]:
    """A Finding for each image file that no split lists; of splits with one folder the first speaks."""
    folder = split.images
    if folder is None or next(other for other in splits if _listed(other) == _listed(split)) is not split:
        return
    name = _listed(split)
    for image_set in split.lists:
        with suppress(OSError), image_set.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if words := line.split():
                    spill.count(f"stems of {name}", words[0])
    for place, _, files in os.walk(folder):
        for file in files:
            relative = Path(place, file).relative_to(folder).as_posix()
            stem, suffix = posixpath.splitext(relative)
            if suffix.lower() not in IMAGE_SUFFIXES:
                continue
            if not spill.holds(name, relative) and not spill.holds(f"stems of {name}", stem):
                yield Finding("unlisted image file", str(folder), relative, "is not listed", "noted", "image")
