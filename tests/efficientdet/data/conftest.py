"""Small real data sets to damage: three images of the demo data, as COCO and as VOC; and painted scenes to follow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from efficientdet.data.admission import admit_all
from efficientdet.data.coco import coco_label_map, read_coco
from efficientdet.data.demo import write_demo_data
from efficientdet.data.example import AnnotatedImage
from efficientdet.data.ledger import Ledger
from efficientdet.data.scene import Scene
from efficientdet.data.voc import read_voc, voc_label_map

ANNOTATIONS = "annotations/instances_train.json"
# By class id: far enough apart for every pixel to be told from the others' and from mixtures.
COLOURS = {1: (250, 0, 0), 2: (0, 250, 0), 3: (0, 0, 250), 4: (250, 250, 0)}
Read = tuple[list[AnnotatedImage], Ledger]


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A COCO folder with three images of digits, each with two or more boxes."""
    write_demo_data(tmp_path / "coco", images={"train": 3})
    return tmp_path / "coco"


@pytest.fixture
def edit(coco: Path) -> Callable[[Callable[[dict[str, Any]], object]], None]:
    """Changes the annotation file of `coco` through a function on its content."""

    def apply(change: Callable[[dict[str, Any]], object]) -> None:
        path = coco / ANNOTATIONS
        instances = json.loads(path.read_text())
        change(instances)
        path.write_text(json.dumps(instances))

    return apply


@pytest.fixture
def read(coco: Path) -> Callable[[], Read]:
    """Reads `coco` as example generation does, in one process."""

    def run() -> Read:
        path = coco / ANNOTATIONS
        classes = {label.category_id: label.id for label in coco_label_map([path])}
        admitted = list(admit_all(read_coco([path]), coco, "train", classes))
        ledger = sum((ledger for _, ledger in admitted), Ledger())
        ledger.require_balance("train")
        return [image for image, _ in admitted if image], ledger

    return run


@pytest.fixture
def voc(tmp_path: Path, coco: Path) -> Path:
    """The same images as a VOC folder with the image set `train`."""
    instances = json.loads((coco / ANNOTATIONS).read_text())
    folder = tmp_path / "voc"
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    stems = []
    for image in instances["images"]:
        stem = Path(image["file_name"]).stem
        stems.append(stem)
        (folder / "JPEGImages" / image["file_name"]).write_bytes((coco / "train" / image["file_name"]).read_bytes())
        boxes = [a for a in instances["annotations"] if a["image_id"] == image["id"]]
        (folder / "Annotations" / f"{stem}.xml").write_text(_xml(image, boxes))
    (folder / "ImageSets/Main/train.txt").write_text("\n".join(stems))
    return folder


@pytest.fixture
def read_set(voc: Path) -> Callable[[], Read]:
    """Reads `voc` as example generation does, in one process."""

    def run() -> Read:
        image_set = voc / "ImageSets/Main/train.txt"
        classes = {label.name: label.id for label in voc_label_map([image_set])}
        admitted = list(admit_all(read_voc(image_set), voc, "JPEGImages", classes))
        ledger = sum((ledger for _, ledger in admitted), Ledger())
        ledger.require_balance("train")
        return [image for image, _ in admitted if image], ledger

    return run


def _xml(image: dict[str, Any], boxes: list[dict[str, Any]]) -> str:
    """A VOC annotation: pixels counted from 1, the last one included."""
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = image["file_name"]
    size = ElementTree.SubElement(root, "size")
    for side in ("width", "height"):
        ElementTree.SubElement(size, side).text = str(image[side])
    for box in boxes:
        element = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(element, "name").text = f"digit {box['category_id']}"
        ElementTree.SubElement(element, "difficult").text = "0"
        x, y, width, height = box["bbox"]
        bndbox = ElementTree.SubElement(element, "bndbox")
        for side, value in {"xmin": x + 1, "ymin": y + 1, "xmax": x + width, "ymax": y + height}.items():
            ElementTree.SubElement(bndbox, side).text = str(value)
    return ElementTree.tostring(root, encoding="unicode")


@pytest.fixture
def truncate() -> Callable[[Path], None]:
    """Cuts an image file to its first half."""

    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with Image.open(path) as image:
            assert image.size, "the header is still whole"

    return cut


@st.composite
def painted_scenes(draw: st.DrawFn, classes: tuple[int, ...] = tuple(COLOURS)) -> Scene:
    """A black image, on it a rectangle in the colour of its class per box; no two overlap."""
    chosen = draw(st.lists(st.sampled_from(classes), min_size=1, max_size=3, unique=True))
    height, width = 20 * len(chosen) + draw(st.integers(0, 30)), draw(st.integers(24, 80))
    image, boxes = np.zeros((height, width, 3), np.uint8), []
    for band, class_id in enumerate(chosen):
        top, left = 20 * band + draw(st.integers(1, 9)), draw(st.integers(0, width - 12))
        bottom, right = draw(st.integers(top + 8, 20 * band + 18)), draw(st.integers(left + 8, width))
        image[top:bottom, left:right] = COLOURS[class_id]
        boxes.append((top, left, bottom, right))
    return Scene(tf.constant(image), tf.constant(boxes, tf.float32), tf.constant(chosen))


@pytest.fixture(scope="session")
def painted() -> Callable[..., st.SearchStrategy[Scene]]:
    """The strategy `painted_scenes`."""
    return painted_scenes


@pytest.fixture(scope="session")
def seen() -> Callable[[NDArray, int], NDArray[np.bool_]]:
    """`[h, w]`: where an image shows the colour of a class, however pale; mixtures at borders are not counted."""

    def where(image: NDArray, class_id: int) -> NDArray[np.bool_]:
        present = np.array(COLOURS[class_id], bool)
        pixels = np.asarray(image, np.float32)
        return (pixels[..., present].min(-1) > 200) & (pixels[..., ~present].max(-1) < 50)

    return where


@pytest.fixture(scope="session")
def in_step(seen: Callable[[NDArray, int], NDArray[np.bool_]]) -> Callable[..., None]:
    """A check that boxes lie in their image, have an area, and that no colour shows outside of its class's boxes.

    Off by up to `margin` pixels; with `whole`, boxes are besides full of their colour.
    """

    def check(scene: Scene, margin: int = 2, whole: bool = True) -> None:
        image, boxes, classes = (np.asarray(part) for part in scene)
        size = image.shape[:2]
        assert np.all(boxes >= 0)
        assert np.all(boxes <= [*size, *size])
        assert np.all(boxes[:, 2:] > boxes[:, :2])
        for class_id in COLOURS:
            colour, allowed = seen(image, class_id), np.zeros(size, bool)
            for box in boxes[classes == class_id].astype(int):
                (top, left), (bottom, right) = np.maximum(box[:2] - margin, 0), box[2:] + margin + 1
                allowed[top:bottom, left:right] = True
                (top, left), (bottom, right) = box[:2] + margin, np.maximum(box[2:] - margin, 0)
                assert not whole or colour[top:bottom, left:right].all(), f"a box of class {class_id} is not full"
            # What is left of a box that moved out of the image may be too thin for one.
            inside = (slice(margin, -margin), slice(margin, -margin))
            assert not (colour & ~allowed)[inside].any(), f"class {class_id} shows outside of its boxes"

    return check
