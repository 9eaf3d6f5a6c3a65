"""Files that were fetched once, by their sum, and what registries said last: enough to fetch again without them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter, ValidationError

from efficientdet.atomic_file import atomic_file, write_file
from efficientdet.registry import ModelVersion
from schemas.registry_entry import FileSum

try:
    import fcntl
except ImportError:  # Windows: two downloads of one file at once may spoil each other, and are then done again
    fcntl = None  # type: ignore[assignment]

VARIABLE = "EFFICIENTDET_CACHE"
_VERSIONS = TypeAdapter(list[ModelVersion])


class BlobCache:
    """A folder of verified files named by their sha256, shared by all processes of a user.

    It may be deleted at any time. A file in it that no longer has its sum is fetched again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of_user(cls) -> BlobCache:
        """The folder in EFFICIENTDET_CACHE, or one in the user's cache; OSError when it cannot be written."""
        named = os.environ.get(VARIABLE)
        users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "efficientdet" / "models"
        cache = cls(Path(named).expanduser().absolute() if named else users)
        for folder in (cache._blobs, cache._partial, cache._said):
            folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(cache.folder / "writable") as aside:
            aside.touch()
        return cache

    def copy(self, sha256: str, target: Path, download: Callable[[Path], None]) -> bool:
        """Brings the file with this sum to `target`; False when what `download` gives has another.

        Args:
          download: completes the partial file it is given, which holds what an earlier call left.
        """
        blob = self._blobs / sha256[:2] / sha256
        if not self._holds(blob, sha256):
            with self._partial_file(sha256) as partial:
                # whoever had the file before us may have completed it
                if not self._holds(blob, sha256) and not self._complete(partial, sha256, download):
                    return False
                if partial.exists() and not blob.exists():
                    blob.parent.mkdir(parents=True, exist_ok=True)
                    partial.replace(blob)
        shutil.copyfile(blob, target)
        return True

    def remember(self, uri: str, name: str, versions: Sequence[ModelVersion]) -> None:
        """Keeps what a registry just said of a name."""
        write_file(self._answer(uri, name), _VERSIONS.dump_json(list(versions)))

    def recall(self, uri: str, name: str) -> list[ModelVersion]:
        """What a registry last said of a name; nothing when it was never asked."""
        with suppress(OSError, ValidationError):
            return _VERSIONS.validate_json(self._answer(uri, name).read_bytes())
        return []

    def _complete(self, partial: Path, sha256: str, download: Callable[[Path], None]) -> bool:
        """Downloads the rest, and all of it anew when the two parts do not fit together."""
        began = partial.stat().st_size > 0
        for _ in range(2 if began else 1):
            download(partial)
            if FileSum.of(partial).sha256 == sha256:
                return True
            partial.write_bytes(b"")
        partial.unlink()
        return False

    @contextmanager
    def _partial_file(self, sha256: str) -> Iterator[Path]:
        """The file to complete, which no other process touches meanwhile; it stays when completing it fails."""
        path = self._partial / sha256
        with path.open("ab") as file:
            _wait_for(file)
            # while we waited its owner may have moved it away
            path.touch()
            yield path
        with suppress(FileNotFoundError):
            if path.stat().st_size == 0:
                path.unlink()

    def _holds(self, blob: Path, sha256: str) -> bool:
        """Whether the file is there with its sum; one without it is removed."""
        if not blob.is_file():
            return False
        if FileSum.of(blob).sha256 == sha256:
            return True
        blob.unlink(missing_ok=True)
        return False

    def _answer(self, uri: str, name: str) -> Path:
        return self._said / hashlib.sha256(uri.encode()).hexdigest()[:16] / f"{name}.json"

    @property
    def _blobs(self) -> Path:
        return self.folder / "sha256"

    @property
    def _partial(self) -> Path:
        return self.folder / "partial"

    @property
    def _said(self) -> Path:
        return self.folder / "registries"


def _wait_for(file: IO[bytes]) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX)
