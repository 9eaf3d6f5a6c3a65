"""Images written into a folder under names that others chose."""

from __future__ import annotations

import hashlib
from itertools import chain, count
from pathlib import Path, PurePosixPath

_SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"GI": ".gif", b"BM": ".bmp", b"RI": ".webp"}


def write_image(folder: Path, name: str, encoded: bytes) -> str:
    """Writes an image below `folder` and returns its name there.

    That is `name` where it stays inside of the folder and no other image has it; else its last part, if that does;
    else one made of a hash of the bytes. Each image has a file of its own, also where their bytes are the same.
    """
    digest = hashlib.sha256(encoded).hexdigest()[:16]
    suffix = _SUFFIXES.get(encoded[:2], "")
    own = [part for part in (name, PurePosixPath(name).name) if is_safe(part)]
    hashed = (f"{digest}{f'-{i}' if i else ''}{suffix}" for i in count())
    for candidate in chain(own, hashed):
        path = folder / candidate
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(encoded)
            return candidate
        except (FileExistsError, NotADirectoryError):
            continue
    raise AssertionError("there is always another number")


def is_safe(name: str) -> bool:
    """Whether a path stays inside the folder it is put into and can be written, on any file system."""
    parts = name.split("/")
    usual = all(part.isprintable() and not set(part) & set('\\:*?"<>|') for part in parts)
    return usual and len(name) < 1000 and all(part and part[0] != "." and len(part.encode()) < 200 for part in parts)
