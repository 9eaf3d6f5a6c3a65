"""The entries of a split on their way from the reader to the workers: a file of them, and their places in it."""

from __future__ import annotations

import pickle
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TextIO

from tfx.dsl.io import fileio

from efficientdet.data.admission import account
from efficientdet.data.annotation import Entry, ImageAnnotation
from efficientdet.data.ledger import FINDINGS_PER_REASON, Ledger


def write_entries(
    entries: Iterable[Entry], path: str, changes: TextIO, group_pattern: str | None = None
) -> tuple[array[int], Ledger]:
    """Writes the images of a reader to `path`.

    Args:
      entries: of one split.
      path: the new file, which every worker can read.
      changes: gets the reader's findings, a line of JSON each.
      group_pattern: a regular expression whose first group, found in an image's file name, says what it belongs with.

    Returns:
      The offset of each image, and the ledger of all else that the reader said.
    """
    offsets, ledger = array("q"), Ledger()
    pattern = re.compile(group_pattern) if group_pattern else None
    with fileio.open(path, "wb") as file:
        position = 0
        for entry in entries:
            if isinstance(entry, ImageAnnotation):
                if pattern and (found := pattern.search(entry.image)):
                    entry = replace(entry, group=found[1])
                data = pickle.dumps(entry)
                file.write(data)
                offsets.append(position)
                position += len(data)
            else:
                book = account(entry)
                changes.write("".join(f"{finding.to_json()}\n" for finding in book.findings))
                ledger.images, ledger.boxes = ledger.images + book.images, ledger.boxes + book.boxes
                ledger.findings += book.findings
                if len(ledger.findings) > 20 * FINDINGS_PER_REASON:
                    ledger += Ledger()
    return offsets, ledger


def write_index(path: str, offsets: array[int], shards: int) -> list[range]:
    """Deals the images at those offsets of the file `path` out to so many shards in turn, and notes it beside the file.

    Returns:
      Each shard's places in the index. They travel instead of the offsets: engines bound the size of a job.
    """
    places, end = [], 0
    with fileio.open(f"{path}.index", "wb") as file:
        for number in range(shards):
            dealt = offsets[number::shards]
            file.write(dealt.tobytes())
            places.append(range(end, end := end + len(dealt)))
    return places


def read_entries(path: str, places: range) -> Iterator[ImageAnnotation]:
    """The images at those places in the index of the file `path`."""
    offsets = array("q")
    with fileio.open(f"{path}.index", "rb") as file:
        file.seek(places.start * offsets.itemsize)
        offsets.frombytes(file.read(len(places) * offsets.itemsize))
    with fileio.open(path, "rb") as file:
        for offset in offsets:
            file.seek(offset)
            yield pickle.load(file)
