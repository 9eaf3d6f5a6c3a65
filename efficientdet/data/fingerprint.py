"""The content of a data set in one hash: any changed byte gives another one, a touched file does not."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from efficientdet.data.annotation import ImageAnnotation
from efficientdet.data.coco import coco_images
from efficientdet.data.csv import read_csv
from efficientdet.data.image_file import UnusableError, locate
from efficientdet.data.voc import IMAGE_FOLDER, image_set_file, read_voc, voc_root
from efficientdet.data.yolo import yolo_files
from efficientdet.errors import DataError

_MISSING = "missing"


def coco_fingerprint(
    input_base: str | Path,
    splits: Mapping[str, str],
    image_folders: Mapping[str, str],
    captions: Mapping[str, str] | None = None,
) -> str:
    """Of the annotation files and every image they list.

    Args:
      input_base: the data folder.
      splits: per split the annotation file, relative to `input_base`; globs and `{SPAN}` match all they can.
      image_folders: per split the image folder. It is hashed whole when the annotation file does not parse.
      captions: per split the captions file.
    """
    paths = {path for pattern in (captions or {}).values() for path in expand(input_base, pattern)}
    for split, pattern in splits.items():
        folder = image_folders[split]
        for path in expand(input_base, pattern):
            paths.add(path)
            try:
                images = list(coco_images(path))
                for found in expand(input_base, folder):
                    paths.update(_inside(input_base, found, images))
            except DataError:
                paths.update(_files(input_base, folder))
    return fingerprint(input_base, paths)


def voc_fingerprint(input_base: str | Path, splits: Mapping[str, str]) -> str:
    """Of the image sets, the XML of every image they list, and those images.

    Args:
      input_base: the folder that holds Annotations, ImageSets and JPEGImages.
      splits: per split the image set, as VocExampleGen takes it.
    """
    paths: set[Path] = set()
    for name in splits.values():
        for image_set in expand(input_base, image_set_file(name)):
            paths.add(image_set)
            root = voc_root(image_set)
            try:
                for entry in read_voc(image_set):
                    if not isinstance(entry, ImageAnnotation):
                        continue
                    paths.update(_inside(input_base, root / IMAGE_FOLDER, [entry.image]))
                    paths.update(_inside(input_base, root / "Annotations", [Path(entry.file).name]))
            except DataError:
                paths.update(_files(root, IMAGE_FOLDER))
    return fingerprint(input_base, paths)


def csv_fingerprint(input_base: str | Path, annotations: str) -> str:
    """Of a CSV, relative to `input_base`, and every image it lists."""
    path = Path(input_base, annotations)
    paths = {path}
    try:
        images = [entry.image for _, entry in read_csv(path) if isinstance(entry, ImageAnnotation)]
        paths.update(_inside(input_base, Path(input_base), images))
    except DataError:
        paths.update(_files(input_base, "."))
    return fingerprint(input_base, paths)


def yolo_fingerprint(input_base: str | Path, splits: Mapping[str, str]) -> str:
    """Of the description, the label files and the images of the splits, called as the description does."""
    try:
        return fingerprint(input_base, yolo_files(input_base, splits.values()))
    except DataError:
        return fingerprint(input_base, _files(input_base, "."))


def tfod_fingerprint(input_base: str | Path, splits: Mapping[str, str], label_map: str | None = None) -> str:
    """Of the TFRecords, a glob per split, and the label map beside them."""
    paths = {path for pattern in splits.values() for path in expand(input_base, pattern)}
    return fingerprint(input_base, paths | ({Path(input_base, label_map)} if label_map else set()))


def fingerprint(base: str | Path, paths: Iterable[Path]) -> str:
    """sha256 (hex) over the sorted names, relative to `base`, and the sha256 of each file; a missing one counts.

    Empty where there is none of the files, as with data of another machine: of them nothing is known.
    """
    ordered = sorted(set(paths))
    total = hashlib.sha256()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = list(pool.map(_digest, ordered))
    for path, digest in zip(ordered, digests, strict=True):
        total.update(f"{os.path.relpath(path, base)}\0{digest}\n".encode(errors="surrogateescape"))
    return total.hexdigest() if set(digests) - {_MISSING} else ""


def expand(base: str | Path, pattern: str) -> list[Path]:
    """The paths that match a glob, relative to `base` or absolute, sorted; `{SPAN}` and its like match anything."""
    path = Path(re.sub(r"\{[^}]*\}", "*", pattern))
    start = Path(path.anchor or base)
    return sorted(start.glob(str(path.relative_to(path.anchor)))) if path.name else [start]


def _digest(path: Path) -> str:
    try:
        if not path.is_file():  # To open a pipe would wait for ever.
            return _MISSING
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return _MISSING


def _inside(base: str | Path, folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """The files in `folder` that an annotation may name; what leads out of the data folder is never read."""
    for name in names:
        try:
            locate(base, str(folder.resolve()), name)
        except UnusableError:
            continue
        yield folder / name


def _files(base: str | Path, folder: str) -> Iterator[Path]:
    """All files in the folder but links out of it."""
    for found in expand(base, folder):
        home = found.resolve()
        yield from (path for path in found.rglob("*") if path.is_file() and path.resolve().is_relative_to(home))
