"""A split of a data set to be checked, whatever form it comes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from efficientdet.check.shards import read_shards
from efficientdet.data.annotation import Entry
from efficientdet.data.coco import coco_label_map, read_coco
from efficientdet.data.voc import IMAGE_FOLDER, image_set_file, read_voc, voc_label_map
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap


@dataclass(frozen=True)
class Split:
    """One split.

    form: of the annotations. name: for the user. source: the annotation file, the image set or the pattern of shards.
    read: starts a pass over its entries. classes: contiguous class id of each category as annotated. root, folder:
    where the images are, as `admit` takes them; None where the annotations hold them. lists: image sets that say which
    files of the folder are listed, besides those of the split.
    """

    form: Literal["coco", "voc", "examples"]
    name: str
    source: str
    read: Callable[[], Iterator[Entry]]
    label_map: LabelMap
    classes: Mapping[object, int]
    root: Path | None = None
    folder: str = ""
    lists: Sequence[Path] = ()

    @property
    def images(self) -> Path | None:
        """The image folder."""
        return None if self.root is None else self.root / self.folder


def coco_splits(pairs: Sequence[tuple[Path, Path]]) -> list[Split]:
    """Splits of COCO files, each with its image folder, under one label map; raises DataError as `read_coco` does."""
    labels = coco_label_map([file for file, _ in pairs])
    classes: dict[object, int] = {label.category_id: label.id for label in labels}
    names = _names([file.stem for file, _ in pairs])
    for _, folder in pairs:
        _require_folder(folder)
    return [
        Split("coco", name, str(file), partial(read_coco, [file]), labels, classes, folder)
        for name, (file, folder) in zip(names, pairs, strict=True)
    ]


def voc_splits(root: Path, names: Sequence[str], images: Path | None = None) -> list[Split]:
    """Splits of a VOC folder under one label map, the names found in all of them.

    `images` is where the pictures are, when it is not `root`/JPEGImages. Raises DataError as `read_voc` does.
    """
    images = images or root / IMAGE_FOLDER
    sets = [root / image_set_file(name) for name in names]
    labels = voc_label_map(sets)
    _require_folder(images)
    classes: dict[object, int] = {label.name: label.id for label in labels}
    lists = sorted((root / "ImageSets" / "Main").glob("*.txt"))
    return [
        Split("voc", name, str(file), partial(read_voc, file), labels, classes, images, lists=lists)
        for name, file in zip(_names([file.stem for file in sets]), sets, strict=True)
    ]


def shard_splits(shards: Mapping[str, Sequence[str]], labels: LabelMap) -> list[Split]:
    """Splits of gzip TFRecords, the shards of each pattern; called as their folder `Split-NAME`, or by the pattern."""
    classes: dict[object, int] = {label.id: label.id for label in labels}
    folders = [Path(files[0]).parent.name for files in shards.values()]
    names = [
        folder.removeprefix("Split-") if folder.startswith("Split-") else pattern
        for folder, pattern in zip(folders, shards, strict=True)
    ]
    return [
        Split("examples", name, pattern, partial(read_shards, files, labels), labels, classes)
        for name, (pattern, files) in zip(_names(names), shards.items(), strict=True)
    ]


def _names(names: Sequence[str]) -> list[str]:
    """The names, numbered where one comes twice."""
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, start=1)]


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(f"{folder}: the image folder does not exist; name it with --images")
