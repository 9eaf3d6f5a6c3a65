"""Where a YOLO data set keeps its images and labels: Ultralytics' data.yaml, or Darknet's obj.data and obj.names."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from efficientdet.data.image_file import UnusableError, locate
from efficientdet.errors import DataError

MAX_BYTES = 1 << 20  # of a description; the names of 20,000 classes take a quarter of it
IMAGE_SUFFIXES = frozenset((".bmp", ".dng", ".heic", ".jpeg", ".jpg", ".mpo", ".pfm", ".png", ".tif", ".tiff", ".webp"))
REMEDY = "give a data.yaml with `names`, `train` and `val`, or Darknet's obj.data and obj.names"

_DESCRIPTIONS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_NAME_LISTS = ("obj.names", "classes.txt")
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class YoloLayout:
    """What a data set says of itself.

    root: the data folder. file: its description. base: the folder that paths start from, relative to `root`.
    names: class name by class index, from 0. sources: per split (train, val, test) folders of images and lists of
    them, as written. keypoints: numbers that follow the box in every row, 0 where rows are boxes or polygons.
    """

    root: Path
    file: Path
    base: str
    names: Mapping[int, str]
    sources: Mapping[str, tuple[str, ...]]
    keypoints: int = 0

    def places(self, split: str) -> list[str]:
        """The folders and list files of a split that are there, relative to `root`.

        Raises DataError when the description names no such split, or one is nowhere below `root`.
        """
        written = self.sources.get(_SPLITS.get(split, split))
        if not written:
            there = ", ".join(self.sources) or "none at all"
            raise DataError(f"{self.file}: names no split {split!r}, but {there}; add it or choose another")
        return [self._place(source) for source in written]

    def images(self, place: str) -> Iterator[str]:
        """The images of a folder, sorted, or of a list file, in its order; relative to `root` where they lie in it."""
        path = self.root / place
        if path.is_dir():
            found = (p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and not p.is_dir())
            return iter(sorted(p.relative_to(self.root).as_posix() for p in found))
        return self._listed(path, posixpath.dirname(place))

    def _listed(self, path: Path, folder: str) -> Iterator[str]:
        starts = (folder, self.base, "")
        try:
            with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
                for line in filter(None, map(str.strip, file)):
                    names = (self._below(start, name) for name in _spellings(line) for start in starts)
                    yield next(filter(self._is_there, names), self._below(self.base, line))
        except OSError as error:
            raise DataError(f"{path}: the list of images cannot be read ({error.strerror}); {REMEDY}") from error

    def _place(self, source: str) -> str:
        for name in (self._below(start, name) for name in _spellings(source) for start in (self.base, "")):
            if self._is_there(name):
                return name
        raise DataError(f"{self.file}: {source!r} is not in the data folder {self.root}; correct the path")

    def _below(self, start: str, written: str) -> str:
        """A path as written, seen from `root`."""
        if PurePosixPath(written).is_absolute():
            return Path(relpath(written, self.root.absolute())).as_posix()
        return posixpath.normpath(posixpath.join(start, written.replace("\\", "/")))

    def _is_there(self, name: str) -> bool:
        try:
            return locate(self.root, name).exists()
        except (UnusableError, OSError):
            return False


def read_layout(root: str | Path) -> YoloLayout:
    """The description in a data folder: data.yaml, dataset.yaml, its only YAML file, or Darknet's files.

    Raises DataError, naming the file, when there is none or it does not say where images are and what classes.
    """
    root = Path(root)
    found = [root / name for name in _DESCRIPTIONS if (root / name).is_file()] or sorted(root.glob("*.y*ml"))
    if found:
        return _ultralytics(root, found[0])
    return _darknet(root)


def label_file(image: str) -> str:
    """The label file of an image: the last folder `images` becomes `labels`, or else it lies beside the image."""
    head, images, tail = f"/{image}".rpartition("/images/")
    moved = f"{head}/labels/{tail}"[1:] if images else image
    return f"{posixpath.splitext(moved)[0]}.txt"


def _spellings(path: str) -> tuple[str, str, str]:
    """A path as written; as exports mean that write `../` in the top folder; as Darknet's examples begin it."""
    return path, path.removeprefix("../"), path.removeprefix("data/")


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases, with which a small file could stand for a huge one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias (*name) is not allowed")
        return super().compose_node(parent, index)


def _ultralytics(root: Path, file: Path) -> YoloLayout:
    try:
        content = yaml.load(_text(root, file), _PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: is not YAML ({' '.join(str(error).split())[:200]}); {REMEDY}") from error
    if not isinstance(content, dict):
        raise DataError(f"{file}: holds no mapping of keys; {REMEDY}")
    sources = {split: _paths(file, key, content[key]) for key, split in _SPLITS.items() if content.get(key)}
    base = content.get("path") or ""
    if not isinstance(base, str):
        raise DataError(f"{file}: `path` is not text; {REMEDY}")
    layout = YoloLayout(root, file, "", _names(file, content), sources, _keypoints(file, content.get("kpt_shape")))
    # A data set that was moved still names the folder it was made in.
    below = layout._below("", base) if base else ""
    return YoloLayout(root, file, below if layout._is_there(below) else "", layout.names, sources, layout.keypoints)


def _darknet(root: Path) -> YoloLayout:
    names_file, given = None, {}
    descriptions = sorted(root.glob("*.data"))
    if descriptions:
        lines = (line.partition("=") for line in _text(root, descriptions[0]).splitlines())
        given = {key.strip(): value.strip() for key, equals, value in lines if equals and value.strip()}
        names_file = given.get("names")
    # Its paths start from the folder Darknet is run in, which is not known here.
    there = [root / Path(name).name for name in (names_file, *_NAME_LISTS) if name]
    file = next((path for path in there if path.is_file()), None)
    if file is None:
        raise DataError(f"{root}: holds neither data.yaml nor obj.names; {REMEDY}")
    names = [line.strip() for line in _text(root, file).splitlines() if line.strip()]
    sources: dict[str, tuple[str, ...]] = {}
    for key, split in _SPLITS.items():
        lists = [given[key], Path(given[key]).name] if key in given else [f"{key}.txt"]
        found = [name for name in lists if not Path(name).is_absolute() and (root / name).is_file()]
        sources |= {split: (found[0],)} if found else {}
    return YoloLayout(root, descriptions[0] if descriptions else file, "", _names(file, {"names": names}), sources)


def _text(root: Path, file: Path) -> str:
    """The text of a description; raises DataError."""
    try:
        path = locate(root, file.name)
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{file}: is larger than {MAX_BYTES} bytes, which no description needs; {REMEDY}")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, UnusableError) as error:
        raise DataError(f"{file}: cannot be read ({error}); {REMEDY}") from error


def _paths(file: Path, key: str, value: object) -> tuple[str, ...]:
    paths = value if isinstance(value, list) else [value]
    if not all(isinstance(path, str) and path for path in paths):
        raise DataError(f"{file}: `{key}` must be a path or a list of paths; {REMEDY}")
    return tuple(paths)


def _names(file: Path, content: Mapping[str, Any]) -> dict[int, str]:
    """Class names by index; raises DataError unless each is given once, and as many as `nc` says."""
    names, count = content.get("names"), content.get("nc")
    if names is None and isinstance(count, int) and 0 < count <= 100_000:
        names = [f"class {i}" for i in range(count)]
    by_index = names if isinstance(names, dict) else dict(enumerate(names if isinstance(names, list) else ()))
    if not by_index:
        raise DataError(f"{file}: names no classes; {REMEDY}")
    for index, name in by_index.items():
        if type(index) is not int or index < 0:
            raise DataError(f"{file}: `names` has a key that is no class index from 0; {REMEDY}")
        if type(name) not in (str, int) or not str(name).strip():  # YAML reads `no` as False
            raise DataError(f"{file}: the name of class {index} is not text; put it in quotes")
    if count is not None and (type(count) is not int or count <= max(by_index)):
        raise DataError(f"{file}: `nc` does not fit `names`, which go up to class {max(by_index)}; correct one of them")
    return {index: str(by_index[index]).strip() for index in sorted(by_index)}


def _keypoints(file: Path, shape: object) -> int:
    if shape is None:
        return 0
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(s) is int and 0 < s < 1000 for s in shape):
        raise DataError(f"{file}: `kpt_shape` must be two whole numbers, keypoints and numbers of each; correct it")
    return int(shape[0] * shape[1])
