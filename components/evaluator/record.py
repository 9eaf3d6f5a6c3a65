"""What an evaluation leaves beside its numbers: every scored image, those it could not score, and its speed.

Beam's workers write all of it into the evaluation's folder; a step that Beam repeats writes the same files again.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import apache_beam as beam
from tfx.dsl.io import fileio

from efficientdet.scored_image import SUFFIX, ScoredImage, write_scored_images

SCORED_FOLDER = "scored_images"
UNSCORED_FILE = "unscored_images.json"
THROUGHPUT_FILE = "throughput.json"
SHARDS = 32
"""Files that the scored images are divided into, by their ids."""

logger = logging.getLogger(__name__)
_FOLDER: ContextVar[str | None] = ContextVar("evaluation_folder", default=None)


@contextmanager
def record_into(folder: str) -> Iterator[None]:
    """Evaluations that begin within leave their record in `folder`; TFX hands no such thing to its extractors."""
    token = _FOLDER.set(folder)
    try:
        yield
    finally:
        _FOLDER.reset(token)


def recorded_into() -> str | None:
    """The folder of the evaluation that begins; None when it shall leave no record."""
    return _FOLDER.get()


def read_unscored(folder: str | Path) -> dict[str, str]:
    """Why an image of the split could not be scored, by its id; empty when all were."""
    return dict(json.loads((Path(folder) / UNSCORED_FILE).read_text(encoding="utf-8")))


def read_throughput(folder: str | Path) -> dict[str, dict[str, float]]:
    """Per contender the `images` that passed it, the `seconds` they took one worker, and `images_per_second`."""
    return dict(json.loads((Path(folder) / THROUGHPUT_FILE).read_text(encoding="utf-8")))


class WriteScoredImages(beam.PTransform):
    """Writes a collection of ScoredImage into SCORED_FOLDER: each image in one file, which its id decides."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def expand(self, images: beam.PCollection) -> beam.PCollection:
        keyed = images | beam.Map(lambda image: (_shard(image), image))
        return keyed | beam.GroupByKey() | beam.Map(_write_shard, folder=f"{self._folder}/{SCORED_FOLDER}")


class WriteUnscored(beam.PTransform):
    """Writes a collection of (image id, reason) to UNSCORED_FILE."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def expand(self, unscored: beam.PCollection) -> beam.PCollection:
        whole = unscored | beam.CombineGlobally(beam.combiners.ToListCombineFn())
        return whole | beam.Map(_write_unscored, folder=self._folder)


class WriteThroughput(beam.PTransform):
    """Writes a collection of (contender, (images, seconds)), summed up, to THROUGHPUT_FILE, and logs it in one line."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder

    def expand(self, timings: beam.PCollection) -> beam.PCollection:
        sums = timings | beam.CombinePerKey(beam.combiners.TupleCombineFn(sum, sum))
        whole = sums | beam.CombineGlobally(beam.combiners.ToDictCombineFn())
        return whole | beam.Map(_write_throughput, folder=self._folder)


def _shard(image: ScoredImage) -> int:
    return zlib.crc32(image.image_id.encode()) % SHARDS


def _write_shard(group: tuple[int, Iterable[ScoredImage]], folder: str) -> None:
    shard, images = group
    name = f"images-{shard:05d}-of-{SHARDS:05d}{SUFFIX}"
    with TemporaryDirectory() as local:
        written = write_scored_images(Path(local) / name, sorted(images, key=lambda image: image.image_id))
        _publish(written.read_bytes(), folder, name)


def _write_unscored(unscored: list[tuple[str, str]], folder: str) -> None:
    _publish_json(dict(sorted(unscored)), folder, UNSCORED_FILE)


def _write_throughput(sums: Mapping[str, tuple[int, float]], folder: str) -> None:
    speeds = {
        name: {"images": images, "seconds": seconds, "images_per_second": images / seconds if seconds else 0.0}
        for name, (images, seconds) in sorted(sums.items())
    }
    _publish_json(speeds, folder, THROUGHPUT_FILE)
    each = ", ".join(f"{name} {speed['images_per_second']:.1f}" for name, speed in speeds.items())
    logger.info("images/s: %s", each or "none, no image was scored")


def _publish_json(content: Any, folder: str, name: str) -> None:
    _publish((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode(), folder, name)


def _publish(content: bytes, folder: str, name: str) -> None:
    """Writes aside, under a name that no second attempt shares, then renames."""
    fileio.makedirs(folder)
    aside = f"{folder}/.{name}-{uuid4().hex}"
    with fileio.open(aside, "wb") as file:
        file.write(content)
    fileio.rename(aside, f"{folder}/{name}", overwrite=True)
