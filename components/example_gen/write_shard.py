"""What a Beam worker does in example generation: the entries of a shard become its files, whole or not at all."""

from __future__ import annotations

import json
import os
import uuid
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from typing import TextIO

import apache_beam as beam
import tensorflow as tf
from google.protobuf.message import Message
from tfx.dsl.io import fileio

from components.example_gen.entry_file import read_entries
from efficientdet.data.admission import admit_all
from efficientdet.data.example import AnnotatedImage, serialise, to_example
from efficientdet.data.ledger import CHANGES_FOLDER, Ledger
from efficientdet.label_map import LabelMap

# Images are compressed already; what gzip is asked for is TFX's file format and its sum.
GZIP = tf.io.TFRecordOptions("GZIP", compression_level=0)
ASIDE = "aside"


@dataclass(frozen=True)
class Division:
    """How one input split becomes several: by the hash of a feature, as TFX's SplitConfig defines it.

    buckets: per output split its share. feature: what is hashed; the image's content where a record lacks it, the
    whole record if empty.
    """

    buckets: Mapping[str, int]
    feature: str

    def split_of(self, image: AnnotatedImage, label_map: LabelMap) -> str:
        """The output split of an image."""
        bounds = list(accumulate(self.buckets.values()))
        hashed: Message
        if self.feature in _KEYS:
            key = _KEYS[self.feature](image) or image.sha256
            hashed = tf.train.Feature(bytes_list=tf.train.BytesList(value=[key.encode()]))
        else:
            example = to_example(image, label_map)
            hashed = example.features.feature[self.feature] if self.feature else example
        number = int(sha256(hashed.SerializeToString(deterministic=True)).hexdigest(), 16)
        return list(self.buckets)[bisect(bounds, number % bounds[-1])]


_KEYS: dict[str, Callable[[AnnotatedImage], str | None]] = {
    "image/group": lambda image: image.group,
    "image/key/sha256": lambda image: None,
}


@dataclass(frozen=True)
class Shard:
    """One shard of an input split: its number among `count`, and the places of its entries in the split's index."""

    split: str
    number: int
    count: int
    places: range

    def __str__(self) -> str:
        return f"{self.split}-{self.name}"

    @property
    def name(self) -> str:
        """As Beam names the files of a sink."""
        return f"{self.number:05d}-of-{self.count:05d}"

    @property
    def ledger(self) -> str:
        """The name of its ledger, the last of its files to appear."""
        return f"{self.split}-{self.name}.json"


@dataclass(frozen=True)
class SplitWork:
    """What the workers need of one input split.

    entries: its file of entries, with an index beside it. root: the data folder, which no image may leave.
    image_folder: relative to `root`. classes: contiguous class id of each category, as the annotations call it.
    division: none for a split that stays one.
    """

    entries: str
    root: str
    image_folder: str
    classes: Mapping[object, int]
    masks: bool
    division: Division | None


class WriteShard(beam.DoFn):
    """Shard -> its name, once its examples, changes and ledger lie below the folder `uri`.

    Files are written aside and renamed, with names and contents that depend on the shard alone: a worker that dies
    leaves nothing behind that counts, and one that repeats its work repeats the same bytes.
    """

    def __init__(self, uri: str, splits: Mapping[str, SplitWork], label_map: LabelMap) -> None:
        self.uri, self._splits, self._label_map = uri, splits, label_map

    def missing(self, shards: Sequence[Shard]) -> list[Shard]:
        """Those that are not written yet."""
        written = set(fileio.listdir(f"{self.uri}/{ASIDE}"))
        return [shard for shard in shards if shard.ledger not in written]

    def process(self, shard: Shard) -> Iterable[str]:
        work = self._splits[shard.split]
        targets = list(work.division.buckets) if work.division else [shard.split]
        ledgers: defaultdict[str, Ledger] = defaultdict(Ledger)
        with new_files(self.uri) as files:
            writers = {t: files.records(f"Split-{t}/data_tfrecord-{shard.name}.gz") for t in targets}
            changes: list[str] = []
            entries = read_entries(work.entries, shard.places)
            for image, account in admit_all(entries, work.root, work.image_folder, work.classes, work.masks):
                target = work.division.split_of(image, self._label_map) if work.division and image else targets[0]
                ledgers[target] += account
                changes += [f"{finding.to_json()}\n" for finding in account.findings]
                if image:
                    writers[target].write(serialise(image, self._label_map))
            if changes:
                files.text(f"{CHANGES_FOLDER}/{shard.split}-{shard.name}.jsonl").write("".join(changes))
            ledger = {target: ledgers[target].to_dict() for target in targets}
            files.text(f"{ASIDE}/{shard.ledger}").write(json.dumps(ledger))
        yield str(shard)


class Files:
    """New files below a folder, which none can see yet."""

    def __init__(self, uri: str, closing: ExitStack) -> None:
        self._uri, self._closing = uri, closing
        self.targets: dict[str, str] = {}

    def records(self, name: str) -> tf.io.TFRecordWriter:
        """A new gzip TFRecord file."""
        return self._closing.enter_context(tf.io.TFRecordWriter(self._aside(name), GZIP))

    def text(self, name: str) -> TextIO:
        """A new text file."""
        return self._closing.enter_context(fileio.open(self._aside(name), "w"))

    def _aside(self, name: str) -> str:
        path = f"{self._uri}/{ASIDE}/{uuid.uuid4().hex}"
        self.targets[path] = f"{self._uri}/{name}"
        return path


@contextmanager
def new_files(uri: str) -> Iterator[Files]:
    """Files below `uri` that take their places in order when the block ends without an error, and vanish otherwise."""
    fileio.makedirs(f"{uri}/{ASIDE}")
    with ExitStack() as closing:
        files = Files(uri, closing)
        try:
            yield files
        except BaseException:
            closing.close()
            for path in files.targets:
                fileio.remove(path)
            raise
    for path, target in files.targets.items():
        fileio.makedirs(os.path.dirname(target))  # noqa: PTH120 - a uri
        fileio.rename(path, target, overwrite=True)


def read_ledgers(uri: str, shards: Iterable[Shard]) -> Iterator[tuple[str, Ledger]]:
    """What `WriteShard` noted for those shards: output split and ledger."""
    for shard in shards:
        with fileio.open(f"{uri}/{ASIDE}/{shard.ledger}", "r") as file:
            for target, ledger in json.load(file).items():
                yield target, Ledger.from_dict(ledger)
