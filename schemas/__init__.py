"""What crosses a process or team border, as files, and the way to find them."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def path(name: str) -> str:
    """The path of a schema file of this package, as in `path("detection.pbtxt")`.

    Raises FileNotFoundError naming the files there are.
    """
    found = FOLDER / name
    if not found.is_file():
        names = sorted(p.name for p in FOLDER.iterdir() if p.suffix == ".pbtxt")
        raise FileNotFoundError(f"{found}: there is no such schema; there are {', '.join(names)}")
    return str(found)
