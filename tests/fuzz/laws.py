"""What holds for any bytes as an annotation file: the laws that the fuzzer and the property tests try to break."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from efficientdet.data.admission import admit_all
from efficientdet.data.annotation import Entry
from efficientdet.data.coco import coco_images, coco_label_map, read_coco
from efficientdet.data.example import to_example
from efficientdet.data.ledger import Ledger, to_json
from efficientdet.data.voc import read_voc, voc_label_map
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap

HEIGHT, WIDTH = 30, 40
NAMES = LabelMap.from_names(["a", "b"])
# Modules are read when they are first needed, as those of rare encodings are.
_LIBRARIES = tuple({sys.prefix, sys.base_prefix, *(path for path in sys.path if path)})
_opened: list[str] = []
_watching = False


def make_folder(folder: Path) -> Path:
    """A data folder for both formats with the image `a.jpg`, and a secret beside it that no annotation may reach."""
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / "data" / name).mkdir(parents=True)
    picture = Image.linear_gradient("L").resize((WIDTH, HEIGHT))
    for path in (folder / "data/JPEGImages/a.jpg", folder / "secret.jpg"):
        picture.save(path)
    (folder / "data/JPEGImages/link.jpg").symlink_to(folder / "secret.jpg")
    (folder / "data/ImageSets/Main/train.txt").write_text("a\n")
    return folder / "data"


def coco_laws(data: bytes, folder: Path) -> Ledger | None:
    """Reads `data` as a COCO file of `folder`; what became of it, None when it was refused as a whole."""
    path = folder / "instances.json"
    path.write_bytes(data)
    for refusable in (lambda: coco_label_map([path]), lambda: list(coco_images(path))):
        _refusable(refusable, folder)
    entries = read_coco([path], [path], masks=True, group_by="video")
    return _refusable(lambda: _admit(entries, folder, {1: 1, 2: 2}), folder)


def voc_laws(data: bytes, folder: Path) -> Ledger | None:
    """Reads `data` as the XML of the one image of `folder`; what became of it."""
    (folder / "Annotations/a.xml").write_bytes(data)
    image_set = folder / "ImageSets/Main/train.txt"
    _refusable(lambda: voc_label_map([image_set]), folder)
    ledger = _refusable(lambda: _admit(read_voc(image_set), folder, {"a": 1, "b": 2}), folder)
    assert ledger is not None
    assert ledger.images.read == 1
    return ledger


LAWS: dict[str, Callable[[bytes, Path], Ledger | None]] = {"coco": coco_laws, "voc": voc_laws}


def _refusable(work: Callable[[], Ledger | object], folder: Path) -> Ledger | None:
    """The result of `work`, None when it raises a DataError of one line; it may open files of `folder` only."""
    try:
        with _only(folder):
            result = work()
    except DataError as error:
        sentence = str(error)
        assert "\n" not in sentence
        assert len(sentence) < 5000
        return None
    return result if isinstance(result, Ledger) else None


def _admit(entries: Iterable[Entry], folder: Path, classes: dict[object, int]) -> Ledger:
    """Admits all entries, and checks the images, the records made of them and the account."""
    total = Ledger()
    for image, ledger in admit_all(entries, folder, "JPEGImages", classes, masks=True):
        total += ledger
        if image is None:
            continue
        assert (image.height, image.width) == (HEIGHT, WIDTH)
        assert (image.boxes >= 0).all()
        assert (image.boxes <= [HEIGHT, WIDTH, HEIGHT, WIDTH]).all()
        assert (image.boxes[:, 2:] > image.boxes[:, :2]).all()
        assert ((image.area > 0) & (image.area < float("inf"))).all()
        assert len(image.masks) == len(image.classes) == len(image.boxes)
        to_example(image, NAMES)
    total.require_balance("train")
    assert str(total).isprintable()
    to_json({"train": total}).encode()
    return total


@contextmanager
def _only(folder: Path) -> Iterator[None]:
    """Fails when the block opens a file outside of `folder`, other than modules of Python."""
    global _watching
    _opened.clear()
    _watching = True
    try:
        yield
    finally:
        _watching = False
    strange = [path for path in _opened if not path.startswith((str(folder) + os.sep, *_LIBRARIES))]
    assert not strange, strange


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _watching and event == "open" and isinstance(arguments[0], str | bytes):
        _opened.append(os.path.realpath(os.fsdecode(arguments[0])))


sys.addaudithook(_watch)
