"""What a Beam worker does in a bulk inference: the images of a shard become a file of detections."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.utils.shared import Shared

from components.bulk_inferrer.model import content_sha256
from components.bulk_inferrer.work import Shard
from efficientdet.detection_file import broken_record, frame_record
from efficientdet.detector_file import CORES, Detector, open_detector
from efficientdet.errors import ModelError
from efficientdet.frame import BrokenFrame
from efficientdet.infer import detect_frames

ASIDE, WHOLE = "aside", "whole"
"""Folders of a job: what it must remember, and what it is to become."""
SUFFIX = ".jsonl.gz"
NAMED = 100
"""Of a shard's images that cannot be read, those that its counts name; its lines name all."""


def file_name(shard: Shard) -> str:
    """The name of a shard's detections."""
    return f"detections-{shard}{SUFFIX}"


class DetectShard(beam.DoFn):
    """Shard -> its name, once its detections lie in `WHOLE` and its counts in `ASIDE` below the folder `uri`.

    Files are written aside and renamed, the counts last, with names and contents that depend on the shard alone: a
    worker that dies leaves nothing behind that counts, and one that repeats its work repeats the same bytes. A process
    opens the model once, whichever of its threads is first.
    """

    def __init__(self, uri: str, model: str, sha256: str, score_threshold: float) -> None:
        self.uri, self._model, self._sha256, self._score_threshold = uri, model, sha256, score_threshold
        self._shared = Shared()
        self._detector: Detector | None = None

    def missing(self, shards: Sequence[Shard]) -> list[Shard]:
        """Those that are not written yet."""
        counted = {path.name for path in Path(self.uri, ASIDE).glob("*.json")}
        written = {path.name for path in Path(self.uri, WHOLE).glob(f"*{SUFFIX}")}
        return [shard for shard in shards if f"{shard}.json" not in counted or file_name(shard) not in written]

    def forget_changed(self, shards: Sequence[Shard]) -> None:
        """Makes those missing whose images have other bytes than when they were detected in."""
        with ThreadPoolExecutor(CORES) as pool:
            for path, same in pool.map(self._unchanged, shards):
                if not same:
                    path.unlink()

    def _unchanged(self, shard: Shard) -> tuple[Path, bool]:
        """Where the counts of a shard lie, and whether they are none or of the same images."""
        path = Path(self.uri, ASIDE, f"{shard}.json")
        return path, not path.exists() or json.loads(path.read_text(encoding="utf-8"))["content"] == shard.sha256()

    def setup(self) -> None:
        self._detector = self._shared.acquire(self._open, tag=self._sha256)

    def teardown(self) -> None:
        self._detector = None

    def _open(self) -> Detector:
        """Raises ModelError when the model is not the one that the job began with."""
        if content_sha256(Path(self._model)) != self._sha256:
            raise ModelError(f"{self._model}: has changed since the job began; start it again with another --output")
        return open_detector(self._model)

    def process(self, shard: Shard) -> Iterable[str]:
        assert self._detector is not None
        folder, whole = Path(self.uri, ASIDE), Path(self.uri, WHOLE)
        for place in (folder, whole):
            place.mkdir(parents=True, exist_ok=True)
        aside = folder / uuid.uuid4().hex
        content = {"content": shard.sha256()}  # before: images that change from now on have another one next time
        try:
            with aside.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
                counts = self._detect(shard, file)
            aside.replace(whole / file_name(shard))
            aside.write_text(json.dumps(content | counts), encoding="utf-8")
            aside.replace(folder / f"{shard}.json")
        finally:
            aside.unlink(missing_ok=True)
        yield str(shard)

    def _detect(self, shard: Shard, file: gzip.GzipFile) -> dict[str, Any]:
        """Writes a line for each image; how many images, detections and unreadable images there were."""
        assert self._detector is not None
        images = detections = broken = 0
        unreadable: list[dict[str, Any]] = []
        for answer in detect_frames(self._detector, shard, self._score_threshold, self._detector.batch):
            if isinstance(answer, BrokenFrame):
                record, broken = broken_record(answer), broken + 1
                unreadable += [record] if len(unreadable) < NAMED else []
            else:
                record, images = frame_record(*answer, self._detector.label_map), images + 1
                detections += len(record["detections"])
            file.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
        return {"images": images, "detections": detections, "broken": broken, "unreadable": unreadable}
