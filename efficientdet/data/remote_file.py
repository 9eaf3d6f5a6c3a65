"""Files of other file systems, such as gs://, on the local disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath

import tensorflow as tf

from efficientdet.atomic_file import atomic_file
from efficientdet.data.annotation import Entry, ImageAnnotation
from efficientdet.errors import DataError

AT_ONCE = 16


def local_file(name: str | Path, folder: Path, anew: bool = False) -> Path:
    """A file itself, or a copy in `folder` of one whose name is an address that TensorFlow knows.

    A copy that is there already is taken for the file unless it shall be fetched `anew`. Raises DataError when it
    cannot be.
    """
    if "://" not in str(name):
        return Path(name)
    target = folder / f"{hashlib.sha256(str(name).encode()).hexdigest()[:24]}{PurePosixPath(name).suffix}"
    if target.is_file() and not anew:
        return target
    try:
        with atomic_file(target) as aside:
            tf.io.gfile.copy(str(name), str(aside))
    except tf.errors.OpError as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{name}: cannot be fetched ({reason}); check address and credentials") from error
    return target


def with_local_images(entries: Iterable[tuple[str, Entry]], folder: Path) -> list[tuple[str, Entry]]:
    """The entries, each under its key, with images fetched; one that cannot be has a `problem` that says why."""

    def local(entry: Entry) -> Entry:
        if not isinstance(entry, ImageAnnotation) or "://" not in entry.image:
            return entry
        try:
            return replace(entry, image=str(local_file(entry.image, folder)))
        except DataError as error:
            return replace(entry, problem=("missing image file", str(error)))

    keys, values = zip(*entries, strict=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(zip(keys, pool.map(local, values), strict=True))
