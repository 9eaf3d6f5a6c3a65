"""The verb `infer`: what a detector finds in images, videos and cameras, as files and as pictures with boxes.

Pictures pass through one batch at a time, so memory does not grow with their number; one that cannot be read is
counted and named, and the rest goes on.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from efficientdet.coco_image_ids import ImageIds
from efficientdet.detection_file import STDOUT, CocoFile, CsvFile, DetectionFile, JsonFile, JsonLinesFile
from efficientdet.detections import Found
from efficientdet.detector_file import Detector, open_detector
from efficientdet.drawing import DrawingStyle, DrawnVideo, PictureFolder
from efficientdet.errors import ConfigError
from efficientdet.frame import BrokenFrame, Frame, FrameSource
from efficientdet.frame_source import open_source
from efficientdet.image_source import ImageFiles
from efficientdet.progress import Watched
from efficientdet.signals import Termination
from efficientdet.video import Video

DETECTIONS_FILE, LINES_FILE = "detections.json", "detections.jsonl"
PICTURES_FOLDER = "pictures"
BATCH_PIXELS = 64_000_000
"""Of the pictures that are in memory together, whatever the size of a batch: 192 MB."""
NAMED = 1000
"""Broken pictures that a summary names; the files name all."""

Writer = DetectionFile | PictureFolder | DrawnVideo
Answer = tuple[Frame, Found] | BrokenFrame


@dataclass(frozen=True)
class Outputs:
    """Where detections go.

    folder: gets `detections.json` and `pictures/`, or `detections.jsonl` and an MP4 for a video or camera. json,
    json_lines, coco, csv: files of their own; `-` is standard output. style: of what is drawn.
    """

    folder: Path | None = None
    json: Path | None = None
    json_lines: Path | None = None
    coco: Path | None = None
    csv: Path | None = None
    style: DrawingStyle = field(default_factory=DrawingStyle)


@dataclass(frozen=True)
class InferSummary:
    """What `run_infer` did.

    images: read. detections: written. broken: pictures that cannot be read; unreadable: the first of them by name,
    with the reason. turned: images with an EXIF orientation, which was not applied. rate: images per second. files:
    what was written, the folder's detections and pictures first.
    """

    images: int
    detections: int
    broken: int
    unreadable: dict[str, str]
    turned: int
    rate: float
    files: Sequence[Path]


def run_infer(
    model: str | Path,
    input: str | Path,
    output: str | Path | Outputs,
    score_threshold: float = 0.3,
    batch_size: int | None = None,
    max_frames: int | None = None,
    name: str | None = None,
    tell: Callable[[BrokenFrame], None] = lambda _: None,
) -> InferSummary:
    """Detects in an image, the images of a folder or pattern, a video, an address or a camera.

    Args:
      model: what `efficientdet.detector_file.open_detector` takes.
      input: what `efficientdet.frame_source.open_source` takes. A camera ends with Ctrl-C, and its files are written.
      output: a folder, as `Outputs.folder`; or more than that.
      score_threshold: the least score of a detection.
      batch_size: pictures that pass the detector together; without it as many as suit it, of a camera one.
      max_frames: of a video or camera, or images, after which it ends.
      name: what the files call the model, if not by its path.
      tell: called with each picture that cannot be read.

    Raises ModelError for a bad model, DataError when there is no image at all, and ConfigError for outputs in each
    other's place or in that of the input.
    """
    outputs = output if isinstance(output, Outputs) else Outputs(folder=Path(output))
    source = open_source(str(input), [outputs.folder / PICTURES_FOLDER] if outputs.folder else [])
    detector = open_detector(model)
    writers = _writers(outputs, source, detector, _facts(name or str(model), detector, score_threshold))
    _check_targets(writers, source)
    count = batch_size or (1 if source.live else detector.batch)
    answers = islice(detect_frames(detector, source, score_threshold, count), max_frames)
    total = min(filter(None, (source.total, max_frames)), default=None)
    tally = _Tally()
    with ExitStack() as closing:
        for writer in writers:
            closing.enter_context(writer)
        # A camera runs until somebody stops it; what it saw is complete then.
        stop = closing.enter_context(Termination(signal.SIGINT, signal.SIGTERM)) if source.live else Termination()
        watched = Watched(takewhile(lambda _: not stop.asked, answers), total, "detected")
        for answer in watched:
            tally.add(answer, tell)
            _write(writers, answer)
    return tally.summary(watched.rate, [writer.path for writer in writers])


def detect_frames(detector: Detector, source: FrameSource, score_threshold: float, batch_size: int) -> Iterator[Answer]:
    """Each picture of a source with what is found in it, in order, and those that cannot be read in their places."""
    for some in _batches(source, batch_size):
        frames = [each for each in some if isinstance(each, Frame)]
        found = iter(detector([frame.image for frame in frames]).above(score_threshold))
        for each in some:
            yield (each, next(found)) if isinstance(each, Frame) else each


def _batches(source: FrameSource, count: int) -> Iterator[list[Frame | BrokenFrame]]:
    """Up to `count` pictures of BATCH_PIXELS together, one at least."""
    some: list[Frame | BrokenFrame] = []
    pixels = 0
    for each in source:
        size = each.size[0] * each.size[1] if isinstance(each, Frame) else 0
        if some and (len(some) == count or pixels + size > BATCH_PIXELS):
            yield some
            some, pixels = [], 0
        some.append(each)
        pixels += size
        if len(some) == count:
            yield some
            some, pixels = [], 0
    if some:
        yield some


def _facts(model: str, detector: Detector, score_threshold: float) -> dict[str, Any]:
    labels = detector.label_map.hash
    return {
        "model": {"file": model, "architecture": detector.config.model.name, "labels": labels},
        "score_threshold": score_threshold,
    }


def _writers(outputs: Outputs, source: ImageFiles | Video, detector: Detector, facts: dict[str, Any]) -> list[Writer]:
    """What is to be written, of the folder first."""
    labels, found = detector.label_map, list[Writer]()
    if outputs.folder and isinstance(source, Video):
        drawn = outputs.folder / f"{Path(source.file).stem if not source.live else 'camera'}.mp4"
        found.append(JsonLinesFile(outputs.folder / LINES_FILE, labels))
        found.append(DrawnVideo(drawn, source.rate, labels, outputs.style))
    elif outputs.folder:
        found.append(JsonFile(outputs.folder / DETECTIONS_FILE, labels, facts))
        found.append(PictureFolder(outputs.folder / PICTURES_FOLDER, labels, outputs.style))
    if outputs.json:
        found.append(JsonFile(outputs.json, labels, facts))
    if outputs.json_lines:
        found.append(JsonLinesFile(outputs.json_lines, labels))
    if outputs.coco:
        names = source.names if isinstance(source, ImageFiles) else []
        found.append(CocoFile(outputs.coco, labels, ImageIds((name, None) for name in names)))
    if outputs.csv:
        found.append(CsvFile(outputs.csv, labels))
    if not found:
        raise ConfigError("no output is named; give a folder, or a file for JSON, JSON lines, COCO results or CSV")
    return found


def _check_targets(writers: Sequence[Writer], source: ImageFiles | Video) -> None:
    """Raises ConfigError when a file would be written twice, or in the place of what is read."""
    targets = [writer.path.resolve() for writer in writers if str(writer.path) != STDOUT]
    for i, target in enumerate(targets):
        if target in targets[:i]:
            raise ConfigError(f"{target}: two kinds of detections would be written there; name another file for one")
    read = source.paths if isinstance(source, ImageFiles) else [source.path] if source.path else []
    folders = {writer.path.resolve() for writer in writers if isinstance(writer, PictureFolder)}
    for path in map(Path.resolve, read):
        if path in targets or not folders.isdisjoint(path.parents):
            raise ConfigError(f"{path}: is read, and would be replaced by what is found in it; name another output")


def _write(writers: Sequence[Writer], answer: Answer) -> None:
    for writer in writers:
        if not isinstance(answer, BrokenFrame):
            writer.write(*answer)
        elif isinstance(writer, DetectionFile):
            writer.skip(answer)


class _Tally:
    """Counts what passes by."""

    def __init__(self) -> None:
        self.images = self.detections = self.broken = self.turned = 0
        self.unreadable: dict[str, str] = {}

    def add(self, answer: Answer, tell: Callable[[BrokenFrame], None]) -> None:
        if not isinstance(answer, BrokenFrame):
            frame, (_, scores, _) = answer
            self.images, self.detections = self.images + 1, self.detections + len(scores)
            self.turned += frame.orientation != 1
            return
        self.broken += 1
        if len(self.unreadable) < NAMED:
            self.unreadable[name_of(answer)] = answer.reason
        tell(answer)

    def summary(self, rate: float, files: Sequence[Path]) -> InferSummary:
        seen = (self.images, self.detections, self.broken, self.unreadable, self.turned)
        return InferSummary(*seen, rate, files)


def name_of(broken: BrokenFrame) -> str:
    """The name of a picture for people."""
    return broken.file if broken.number is None else f"{broken.file}, frame {broken.number} at {broken.seconds:g} s"
