"""The id of each image in a COCO result file: the number it is named by, where no other image is named by the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import PurePosixPath

from efficientdet.errors import DataError

LARGEST = 2**53 - 1
"""Number that every reader of JSON holds exactly; a larger one, as of a time in nanoseconds, stays a name."""


class ImageIds:
    """Tells the ids of images that go into one file.

    An image has the id that it was given, as examples have them, as a number if it is one; without it the number that
    its file is named by, 139 of `a/000000000139.jpg`, and else its name. Those that would have the same number or given
    id as another, `a/1.jpg` and `b/1.jpg`, have their names instead. Numbers of our own would be those of other images
    in somebody's annotation file; a name is nobody else's, and a stranger there.
    """

    def __init__(self, images: Iterable[tuple[str, str | None]]) -> None:
        """Counts the wishes of all images, each its file's name and given id; on disk while there are many.

        Raises DataError where there is no room for that.
        """
        # Without a name it is a file of this process alone; while it is small it is in memory only.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        wishes = ((wish,) for file, given in images if (wish := _wish(file, given)) is not None)
        count = "INSERT INTO wished VALUES (?, 1) ON CONFLICT DO UPDATE SET images = images + 1"
        try:
            self._db.executescript(
                "PRAGMA journal_mode=OFF; CREATE TABLE wished (wish PRIMARY KEY, images INTEGER) WITHOUT ROWID; BEGIN"
            )
            self._db.executemany(count, wishes)
        except sqlite3.Error as error:
            remedy = "make room in the temporary folder, or name another one in SQLITE_TMPDIR"
            raise DataError(f"the ids of the images cannot be compared on disk ({error}); {remedy}") from error

    def __call__(self, file: str, given: str | None = None) -> int | str:
        """The id of an image of this name and given id."""
        wish = _wish(file, given)
        if wish is None:
            return file
        row = self._db.execute("SELECT images FROM wished WHERE wish = ?", (wish,)).fetchone()
        return file if row and row[0] > 1 else wish


def _wish(file: str, given: str | None) -> int | str | None:
    """The id that an image would have if it were alone; None where that is its name."""
    text = PurePosixPath(file).stem if given is None else given
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 1000 else LARGEST + 1
    return number if number <= LARGEST else given
