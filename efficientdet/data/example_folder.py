"""A folder of examples: gzip TFRecord shards, with the label map and the ledger of what became of every annotation."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import tensorflow as tf

from efficientdet.atomic_file import write_file
from efficientdet.data import ledger as ledger_file
from efficientdet.data.admission import admit_all
from efficientdet.data.annotation import Entry, ImageAnnotation, Read
from efficientdet.data.example import serialise
from efficientdet.data.fingerprint import fingerprint
from efficientdet.data.image_file import UnusableError, locate
from efficientdet.data.ledger import Finding, Ledger
from efficientdet.errors import DataError
from efficientdet.label_map import FILE_NAME as LABEL_MAP_FILE
from efficientdet.label_map import LabelMap

SHARDS = "*.gz"
INFO_FILE = "info.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Annotations to make examples of.

    entries: what the annotation files say. root: the data folder, which no image may leave. image_folder: relative
    to `root`. label_map: the classes; `by_name` says whether the annotations call them by name or by category id.
    """

    entries: Sequence[Entry]
    root: str | Path
    image_folder: str
    label_map: LabelMap
    by_name: bool

    def first(self, limit: int | None) -> Source:
        """The source with only the first `limit` images, and all records that belong to none.

        Raises DataError for less than one.
        """
        if limit is not None and limit < 1:
            raise DataError(f"max_num_images={limit}: must be 1 or more; leave it out to read all images")
        images = [entry for entry in self.entries if isinstance(entry, ImageAnnotation)]
        if limit is None or limit >= len(images):
            return self
        logger.info("%d of %d images are read, as asked", limit, len(images))
        strays = [entry for entry in self.entries if isinstance(entry, Finding)]
        return replace(self, entries=_counted([*strays, *images[:limit]]))

    def without_difficult(self) -> Source:
        """The source without objects marked as difficult, whose number is logged."""
        count, entries = 0, list(self.entries)
        for i, entry in enumerate(entries):
            if isinstance(entry, ImageAnnotation):
                kept = [box for box in entry.boxes if not box.difficult]
                count += len(entry.boxes) - len(kept)
                entries[i] = replace(entry, boxes=kept)
        logger.info("%d difficult objects left out, as asked", count)
        return replace(self, entries=_counted(entries))

    @property
    def classes(self) -> dict[object, int]:
        """Class ids by what the annotations call a category."""
        return {label.name if self.by_name else label.category_id: label.id for label in self.label_map}

    def key(self, *others: object) -> str:
        """A hash of all that the examples depend on, the bytes of the images and `others` included."""
        paths = []
        for entry in self.entries:
            if isinstance(entry, ImageAnnotation):
                with suppress(UnusableError):
                    paths.append(locate(self.root, self.image_folder, entry.image))
        parts = (self.entries, self.label_map.to_json(), fingerprint(self.root, paths), *others)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


class ExampleWriter:
    """Deals serialised examples out to `count` shards in `folder`, in turn."""

    def __init__(self, folder: Path, count: int, closing: ExitStack) -> None:
        self.folder, self.size = folder, 0
        names = [str(folder / f"data-{i:05d}-of-{count:05d}.gz") for i in range(count)]
        self._shards = [closing.enter_context(tf.io.TFRecordWriter(name, "GZIP")) for name in names]

    def write(self, record: bytes) -> None:
        """Appends one example."""
        self._shards[self.size % len(self._shards)].write(record)
        self.size += 1


@contextmanager
def new_example_folder(folder: Path, label_map: LabelMap, shards: int, key: str = "") -> Iterator[ExampleWriter]:
    """The writer of `folder`, which appears complete when the block ends, or not at all; an older one is replaced.

    `key` stands for what the examples are made of, see `is_current`. Raises DataError when something else is there.
    """
    if folder.exists() and not (folder / INFO_FILE).is_file():
        raise DataError(f"{folder}: exists and holds no examples of ours; name another cache folder or prefix")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with ExitStack() as closing:
            writer = ExampleWriter(aside, shards, closing)
            yield writer
        (aside / LABEL_MAP_FILE).write_text(label_map.to_json(), encoding="utf-8")
        (aside / INFO_FILE).write_text(json.dumps({"size": writer.size, "key": key}) + "\n", encoding="utf-8")
        aside.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_examples(source: Source, folder: Path, shards: int, max_bad_fraction: float, key: str = "") -> None:
    """Writes the examples of `source`, with `ledger.json`, into `folder`, and logs the sums of the ledger.

    Raises:
      DataError: not one image can be used, or more than `max_bad_fraction` of the images or boxes cannot. The whole
        ledger then stands in FOLDER-refused.json.
    """
    ledger, refused = Ledger(), folder.with_name(f"{folder.name}-refused.json")
    images = sum(isinstance(entry, ImageAnnotation) for entry in source.entries)
    with new_example_folder(folder, source.label_map, max(1, min(shards, images)), key) as writer:
        for image, account in admit_all(source.entries, source.root, source.image_folder, source.classes):
            ledger += account
            if image:
                writer.write(serialise(image, source.label_map))
        text = ledger_file.to_json({folder.name: ledger})
        write_file(refused, text)
        ledger.require_balance(folder.name)
        ledger.require(folder.name, max_bad_fraction, str(refused))
        (writer.folder / ledger_file.FILE_NAME).write_text(text, encoding="utf-8")
    refused.unlink(missing_ok=True)
    lossless = not (ledger.images.dropped or ledger.boxes.dropped)
    logger.log(logging.INFO if lossless else logging.WARNING, "%s: %s", folder, ledger)


def _counted(entries: Sequence[Entry]) -> list[Entry]:
    """The entries, with the count of what is among them in place of the reader's."""
    kept = [entry for entry in entries if not isinstance(entry, Read)]
    images = [entry for entry in kept if isinstance(entry, ImageAnnotation)]
    others = [entry for entry in kept if isinstance(entry, Finding) and entry.outcome != "noted"]
    of_images = sum(entry.of == "image" for entry in others)
    boxes = sum(len(entry.boxes) for entry in images) + len(others) - of_images
    return [*kept, Read(len(images) + of_images, boxes)]


def is_current(folder: Path, key: str) -> bool:
    """Whether `folder` holds examples that were made with this key."""
    info = _info(folder)
    return info is not None and info[1] == key


def example_count(folder: Path) -> int | None:
    """How many examples `new_example_folder` wrote; None for a folder that someone else did."""
    info = _info(folder)
    return info[0] if info else None


def _info(folder: Path) -> tuple[int, str] | None:
    """Size and key of a folder of ours; None for any other."""
    path = folder / INFO_FILE
    if not path.is_file():
        return None
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        return int(info["size"]), str(info["key"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is damaged ({error}); remove the folder to have it made anew") from error
