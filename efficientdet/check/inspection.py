"""The check itself: one pass over each split, one image at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from efficientdet.anchor_suggestion import suggest_anchors
from efficientdet.check.anchor_match import AnchorMatch
from efficientdet.check.class_balance import unbalanced
from efficientdet.check.duplicates import DuplicateIndex, Sight, Twin
from efficientdet.check.evidence import picture_of, picture_of_twins
from efficientdet.check.fix import Fix
from efficientdet.check.record_names import AGAIN, with_unique_records
from efficientdet.check.report import Report, SplitReport
from efficientdet.check.rules import Admitted, odd
from efficientdet.check.spill import Spill
from efficientdet.check.split import Split
from efficientdet.check.unlisted import note_listed, unlisted
from efficientdet.config import Config
from efficientdet.data.admission import account, admit
from efficientdet.data.annotation import ImageAnnotation
from efficientdet.data.example import AnnotatedImage
from efficientdet.data.ledger import Finding
from efficientdet.errors import reason


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
    report = Report(splits[0].label_map, config.model.name, {split.name: SplitReport(split.source) for split in splits})
    with Spill() as spill, Fix(fix, splits, spill) as writing:
        index, match = DuplicateIndex(spill), AnchorMatch(config)
        with warnings.catch_warnings():
            # Admission has a limit of its own.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            for split in splits:
                _Inspection(split, report, spill, index, match, pictures, writing).run(progress)
        for name, finding in unlisted(splits, spill):
            report.add(name, finding)
        report.fixed = writing.finish()
    counts = {name: split.classes for name, split in report.splits.items()}
    for name, finding in unbalanced(counts, {split.name: split.source for split in splits}, report.labels):
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
        note_listed(split, annotation.image, self._spill)
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
                case.pictures.append(picture_of(found, self._split, annotation, image))

    def _repeated_ids(self, annotation: ImageAnnotation) -> Iterator[Finding]:
        """What shares its id, or an image's id in shards, with an earlier record of the split."""
        split = self._split
        given = annotation.source_id if split.form == "examples" else ""
        if given and self._spill.count(f"images of {split.name}", given) > 1:
            said = f"image id {given} was given to another record before"
            yield Finding("duplicate image id", annotation.file, annotation.record, said, "noted", "image")
        if split.form == "coco":
            for box in annotation.boxes:
                given = box.record.partition(AGAIN)[0]
                if self._spill.count(f"annotations of {split.name}", given) > 1:
                    record = f"{annotation.record}, {box.record}"
                    yield Finding(
                        "duplicate annotation id", annotation.file, record, "shares its id with an earlier one", "noted"
                    )

    def _twin(self, annotation: ImageAnnotation, image: AnnotatedImage, twin: Twin) -> None:
        finding = twin.finding(self._split.name, annotation)
        case = self._report.add(self._split.name, finding)
        if self._pictures and case.wants_picture:
            case.pictures.append(picture_of_twins(finding, image, twin))
