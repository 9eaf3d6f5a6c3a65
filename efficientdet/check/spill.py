"""What a check must remember of every record, on disk: memory does not grow with a data set."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from types import TracebackType

from efficientdet.errors import DataError

CACHE_KIB = 8192


class Spill:
    """A temporary SQLite file, and in it sets of texts. As a context manager it removes the file, and raises
    DataError where it could not be written.

    Attributes:
      db: the connection; who needs more than sets makes tables of its own.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="efficientdet-check-")
        self.db = sqlite3.connect(Path(self._folder.name) / "seen.sqlite", isolation_level=None)
        self.db.execute("PRAGMA journal_mode = OFF")
        self.db.execute("PRAGMA synchronous = OFF")
        self.db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self.db.execute("CREATE TABLE seen (name TEXT, key TEXT, times INTEGER, PRIMARY KEY (name, key)) WITHOUT ROWID")
        self.db.execute("BEGIN")

    def count(self, name: str, key: str) -> int:
        """Puts a text into the set `name`; how often that was done, this time included."""
        query = "INSERT INTO seen VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times"
        return int(self.db.execute(query, (name, storable(key))).fetchone()[0])

    def holds(self, name: str, key: str) -> bool:
        """Whether a text is in the set `name`."""
        query = "SELECT 1 FROM seen WHERE name = ? AND key = ?"
        return self.db.execute(query, (name, storable(key))).fetchone() is not None

    def __enter__(self) -> Spill:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.db.close()
        self._folder.cleanup()
        if isinstance(error, sqlite3.Error):
            remedy = "make room there, or name another temporary folder in TMPDIR"
            raise DataError(
                f"{self._folder.name}: what a check remembers cannot be kept ({error}); {remedy}"
            ) from error


def storable(text: str) -> str:
    """Text that can be encoded: what is no Unicode, as in some names of files, stands there as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
