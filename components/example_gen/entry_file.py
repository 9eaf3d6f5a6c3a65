"""The entries of a split on their way from the reader to the workers: a file of them, read by offset."""

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
) -> tuple[list[int], Ledger]:
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
    return offsets.tolist(), ledger


def read_entries(path: str, offsets: Iterable[int]) -> Iterator[ImageAnnotation]:
    """The images at those offsets."""
    with fileio.open(path, "rb") as file:
        for offset in offsets:
            file.seek(offset)
            yield pickle.load(file)
