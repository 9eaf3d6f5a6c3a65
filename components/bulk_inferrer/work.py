"""What a bulk inference goes through, dealt out to shards: image files, or the records of examples."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import file_digest, sha256
from itertools import accumulate
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError

from efficientdet.data.image_file import MOST_PIXELS
from efficientdet.data.image_structure import image_structure
from efficientdet.data.input_pipeline import decode_image
from efficientdet.data.tfrecord_file import Damage, compression_of, read_tfrecords
from efficientdet.errors import DataError
from efficientdet.frame import BrokenFrame, Frame
from efficientdet.image_source import decode_frame, find_images, read_frame

SHARD_IMAGES = 1000
"""Minutes of one core's work: enough shards to share out, not so many that opening the model counts."""
MOST_SHARDS = 10_000


@dataclass(frozen=True)
class Shard:
    """A part of the work: its number among `count`, and the file that it goes through.

    path: a list of images, or TFRecords of examples. part, parts: of the records of that file each that has this
    remainder.
    """

    number: int
    count: int
    path: str
    part: int = 0
    parts: int = 1
    examples: bool = False

    live = False
    total = None

    def __str__(self) -> str:
        return f"{self.number:05d}-of-{self.count:05d}"

    def __iter__(self) -> Iterator[Frame | BrokenFrame]:
        """The pictures, as `efficientdet.frame.FrameSource` has it."""
        return self._of_examples() if self.examples else self._of_files()

    def sha256(self) -> str:
        """Of the bytes that it goes through: those of the images in turn, or of the file of examples."""
        if self.examples:
            return _content(self.path)
        with Path(self.path).open(encoding="utf-8") as file:
            return _digest([_content(path) for _, path in map(json.loads, file)])

    def _of_files(self) -> Iterator[Frame | BrokenFrame]:
        with Path(self.path).open(encoding="utf-8") as file:
            for name, path in map(json.loads, file):
                try:
                    yield read_frame(path, name)
                except DataError as error:
                    yield BrokenFrame(name, str(error))

    def _of_examples(self) -> Iterator[Frame | BrokenFrame]:
        for number, record in enumerate(read_tfrecords(self.path)):
            if number % self.parts == self.part:
                shown = f"{Path(self.path).name}, record {number}"
                yield BrokenFrame(shown, record.message) if isinstance(record, Damage) else _of_record(record, shown)


def _of_record(record: bytes, shown: str) -> Frame | BrokenFrame:
    """The picture in an example, under its own names where it has any."""
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        return BrokenFrame(shown, f"{shown}: is no tf.train.Example; make the examples again")
    texts = {name: _text(features, f"image/{name}") for name in ("filename", "source_id")}
    file, image_id = texts["filename"] or shown, texts["source_id"] or None
    encoded = features["image/encoded"].bytes_list.value if "image/encoded" in features else []
    try:
        if len(encoded) != 1:
            raise DataError(f"{shown}: holds no image/encoded; make the examples again")
        return replace(_decoded(encoded[0], file, shown), image_id=image_id)
    except DataError as error:
        return BrokenFrame(file, str(error), image_id=image_id)


def _decoded(encoded: bytes, file: str, shown: str) -> Frame:
    """The picture as training and evaluation decode it, a JPEG's pixels to the last bit; raises DataError."""
    known = image_structure(encoded)
    if known and known.height * known.width <= MOST_PIXELS:
        with suppress(tf.errors.InvalidArgumentError):  # the decoder below says what is wrong
            return Frame(file, decode_image(encoded).numpy(), known.orientation)
    return decode_frame(encoded, file, shown)


def _text(features: tf.train.Features, name: str) -> str:
    values = features[name].bytes_list.value if name in features else []
    return values[0].decode("utf-8", "backslashreplace") if values else ""


def deal_examples(pattern: str, shards: int | None) -> tuple[list[Shard], str]:
    """At least so many shards, one for each file that matches if not given, and a digest of their names.

    Raises DataError when no file matches or one holds something else than TFRecords.
    """
    paths = [path for path in sorted(glob.glob(pattern)) if Path(path).is_file()]  # noqa: PTH207 - as given
    if not paths:
        raise DataError(f"{pattern}: no file matches; give the shards as in 'examples/Split-eval/*'")
    for path in paths:
        compression_of(path)
    parts = -(-min(shards or 0, MOST_SHARDS) // len(paths)) or 1
    count = parts * len(paths)
    dealt = [(str(Path(path).absolute()), part) for path in paths for part in range(parts)]
    return [Shard(n, count, path, part, parts, examples=True) for n, (path, part) in enumerate(dealt)], _digest(paths)


def deal_images(place: str, folder: Path, shards: int | None) -> tuple[list[Shard], str]:
    """Lists of images in `folder`, each a shard, in order, and a digest of their names.

    `place` is a folder, a pattern, one image, or a text file that lists images, a path a line, relative to its own
    folder. Raises DataError when there is no image.
    """
    root, paths = _listed(Path(place)) if place.endswith(".txt") else find_images(place)
    count = min(shards or -(-len(paths) // SHARD_IMAGES), len(paths), MOST_SHARDS)
    ends = [round(end) for end in accumulate([len(paths) / count] * count)]
    folder.mkdir(parents=True, exist_ok=True)
    dealt = []
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        shard = Shard(number, count, str(folder / f"{number:05d}.list"))
        lines = [json.dumps([_name(path, root), str(path.absolute())]) for path in paths[start:end]]
        Path(shard.path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        dealt.append(shard)
    return dealt, _digest([str(path.absolute()) for path in paths])


def _listed(path: Path) -> tuple[Path, list[Path]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is no readable list of images ({error}); give a text file, a path a line") from error
    paths = [path.parent / line.strip() for line in lines if line.strip()]
    if not paths:
        raise DataError(f"{path}: lists no image; write a path a line")
    return path.parent, paths


def _content(path: str) -> str:
    """The SHA-256 of a file, or why it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"{error.strerror}"


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _digest(lines: Sequence[str]) -> str:
    return sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
