"""What `evaluate` and `compare` are given to judge, models or result files, and how they show the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from efficientdet.cli_shards import example_shards, label_map_of, readable_shards
from efficientdet.errors import DataError, printable

if TYPE_CHECKING:
    from efficientdet.data.coco_groundtruth import CocoGroundtruth
    from efficientdet.detector_file import Detector
    from efficientdet.label_map import LabelMap
    from efficientdet.scored_image import ScoredImage

CHUNK = 250

Row = Mapping[str, float | None]
"""Numbers by their names."""


class Contest(NamedTuple):
    """Images with what the contenders found in them, to be gone through once.

    label_map: their classes. total: how many images there are. shards: the files that hold them, if any do.
    """

    images: Iterator[ScoredImage]
    label_map: LabelMap
    total: int
    shards: Sequence[str] = ()


def models_on_examples(
    models: Mapping[str, Path], examples: str, annotations: Path | None, label_map: Path | None
) -> Contest:
    """Detectors, by the names to call them, on all examples that match a pattern.

    The groundtruth is that of the examples or, where given, of the annotation file, whose images must be the same.
    """
    from efficientdet.data.coco_groundtruth import CocoGroundtruth
    from efficientdet.data.survey import survey
    from efficientdet.detector_file import open_detector
    from efficientdet.preflight import check_groundtruth

    shards = list(example_shards(examples))
    detectors = {name: open_detector(path) for name, path in models.items()}
    groundtruth = CocoGroundtruth(annotations) if annotations else None
    theirs = groundtruth.label_map if groundtruth else label_map_of(label_map, shards[0])
    for name, detector in detectors.items():
        _check_classes(theirs, str(annotations or examples), detector.label_map, models[name])
    with readable_shards(examples):
        counts = survey(shards)
        if groundtruth:
            _check_images(shards, examples, groundtruth, annotations)
        else:
            check_groundtruth(counts, theirs, examples)
    if not counts.images:
        raise DataError(f"{examples}: holds no images; nothing can be judged")
    return Contest(detected(detectors, shards, examples, groundtruth), theirs, counts.images, shards)


def detected(
    detectors: Mapping[str, Detector], shards: Sequence[str], examples: str, groundtruth: CocoGroundtruth | None = None
) -> Iterator[ScoredImage]:
    """The images of shards with what is found in them; damaged records of the pattern `examples` are a sentence."""
    from efficientdet.evaluate import detect_examples

    with readable_shards(examples):
        yield from detect_examples(detectors, shards, groundtruth)


def results_on_annotations(results: Mapping[str, Path], annotations: Path) -> Contest:
    """COCO result files, by the names to call them, on all images of an annotation file; needs no TensorFlow."""
    from efficientdet.coco_results import CocoResults, results_images
    from efficientdet.data.coco_groundtruth import CocoGroundtruth

    groundtruth = CocoGroundtruth(annotations)
    read = {name: CocoResults(path, groundtruth) for name, path in results.items()}
    for name, found in read.items():
        if found.strangers:
            many = f"{found.strangers} of {found.detections} detections"
            click.echo(
                f"{results[name]}: {many} are of categories that {annotations} lacks, and are left out", err=True
            )
    return Contest(results_images(read, groundtruth), groundtruth.label_map, len(groundtruth))


def chunks(images: Iterable[ScoredImage]) -> Iterator[list[ScoredImage]]:
    """The images, as many at a time as are matched in a fraction of the time that one by one would take."""
    rest = iter(images)
    return iter(lambda: list(islice(rest, CHUNK)), [])


def print_scores(rows: Mapping[str, Row], title: str) -> None:
    """A table with a row of numbers for each name."""
    from rich.console import Console
    from rich.table import Table

    names = next(iter(rows.values()))
    table = Table("", *names, title=title)
    for row, values in rows.items():
        table.add_row(row, *("n/a" if (value := values.get(name)) is None else f"{value:.3f}" for name in names))
    Console(width=160).print(table)


def _check_classes(theirs: LabelMap, source: str, labels: LabelMap, model: Path) -> None:
    """Raises DataError when the classes to find are not those of a detector."""
    if theirs.names != labels.names:
        raise DataError(
            f"{source}: its classes are {', '.join(theirs.names[:5])}... and those of the detector {model} "
            f"{', '.join(labels.names[:5])}...; give examples of the same classes"
        )


def _check_images(shards: Sequence[str], examples: str, groundtruth: CocoGroundtruth, annotations: Path | None) -> None:
    """Raises DataError unless examples and annotation file are of the same images."""
    from efficientdet.data.input_pipeline import read_examples

    left = set(groundtruth)
    for example in read_examples(shards).as_numpy_iterator():
        image_id = example["source_id"].decode()
        if image_id not in left:
            why = "comes twice" if image_id in groundtruth else f"is not listed in {annotations}"
            raise DataError(f"{examples}: image {printable(image_id)} {why}; give examples of the annotated images")
        left.remove(image_id)
        groundtruth[image_id]  # what is wrong with it is said now, not after an hour of detecting
    if left:
        raise DataError(
            f"{annotations}: lists {len(left)} images, as id {printable(min(left))}, of which {examples} holds no "
            "example; give the annotations of these examples alone"
        )
