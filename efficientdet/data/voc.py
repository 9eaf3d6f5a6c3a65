"""Pascal VOC: one XML per image in Annotations, image files in JPEGImages, splits in ImageSets/Main."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.parsers import expat

from efficientdet.data.annotation import BoxAnnotation, ImageAnnotation
from efficientdet.data.image_file import UnusableError, locate
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap

IMAGE_FOLDER, ANNOTATION_FOLDER = "JPEGImages", "Annotations"


def voc_label_map(image_sets: Iterable[str | Path], classes: Iterable[str] | None = None) -> LabelMap:
    """The classes given, in that order, or else the names found in the XML of the image sets, sorted.

    Raises DataError when an image set is missing or empty, or no XML names any object.
    """
    image_sets = list(image_sets)
    for image_set in image_sets:
        _stems(image_set)
    if classes is not None:
        return LabelMap.from_names(classes)
    images = (image for image_set in image_sets for image in read_voc(image_set))
    names = {str(box.category) for image in images for box in image.boxes if box.category}
    if not names:
        raise DataError(f"{image_sets[0]}: the annotations of its images name no object at all; check the folder")
    return LabelMap.from_names(sorted(names))


def read_voc(image_set: str | Path) -> Iterator[ImageAnnotation]:
    """Every image of an image set with its objects, in the order of the list.

    Args:
      image_set: the list file, FOLDER/ImageSets/Main/NAME.txt; the first word of a line is an image's stem,
        anything after it (the -1, 0, 1 of VOC's per-class lists) is ignored.

    The image is JPEGImages/FILENAME as the XML says, or STEM.jpg where it says nothing. An image whose XML
    is missing, does not parse or leads out of the folder comes with a `problem`. Raises DataError when the
    list is missing or empty.
    """
    return read_annotations(voc_root(image_set), ANNOTATION_FOLDER, _stems(image_set), str(image_set))


def read_annotations(root: str | Path, folder: str, stems: Iterable[str], listed: str) -> Iterator[ImageAnnotation]:
    """The images of `stems`, each with the objects of its XML in `root`/`folder`, as `read_voc` gives them.

    `listed` is where the stems come from, to be named when one comes twice.
    """
    seen: set[str] = set()
    for stem in stems:
        file, record = f"{Path(root, folder, stem)}.xml", f"image {stem}"
        try:
            if stem in seen:
                raise UnusableError("duplicate image id", f"{stem} is listed twice in {listed}")
            seen.add(stem)
            yield _image(file, record, stem, _parse(locate(root, folder, f"{stem}.xml")))
        except UnusableError as error:
            yield ImageAnnotation(file, record, stem, f"{stem}.jpg", problem=(error.reason, str(error)))


def image_set_file(name: str) -> str:
    """The list file of an image set, relative to the VOC folder; a name that ends in `.txt` is one already."""
    return name if name.endswith(".txt") else f"ImageSets/Main/{name}.txt"


def voc_root(image_set: str | Path) -> Path:
    """The folder that holds Annotations, ImageSets and JPEGImages."""
    return Path(image_set).parent.parent.parent


def _stems(image_set: str | Path) -> list[str]:
    try:
        lines = Path(image_set).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        cause = "not found" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise DataError(f"{image_set}: image set {cause}; give a list as in ImageSets/Main/train.txt") from error
    stems = [line.split()[0] for line in lines if line.strip()]
    if not stems:
        raise DataError(f"{image_set}: the image set lists no images at all; give one image's stem per line")
    return stems


def _parse(path: Path) -> ElementTree.Element:
    """The root element of an annotation; raises UnusableError. Entities, and with them XML bombs, are refused."""

    def refuse(*_: object) -> None:
        raise UnusableError("unparsable XML", "the XML declares an entity, which no VOC annotation needs")

    tree = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.data
    try:
        parser.Parse(path.read_bytes(), True)
    except OSError as error:
        raise UnusableError("missing annotation file", f"the annotation file {path} cannot be read") from error
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise UnusableError("unparsable XML", f"the XML does not parse ({error})") from error
    root = tree.close()
    if root.tag != "annotation":
        raise UnusableError("unparsable XML", f"the XML holds <{root.tag}>, not <annotation>")
    return root


def _image(file: str, record: str, stem: str, annotation: ElementTree.Element) -> ImageAnnotation:
    """One parsed annotation; raises UnusableError when its size is not given in whole numbers."""
    height, width = (_length(annotation.findtext(f"size/{side}")) for side in ("height", "width"))
    boxes = [_box(element, number) for number, element in enumerate(annotation.findall("object"), start=1)]
    name = (annotation.findtext("filename") or "").strip() or f"{stem}.jpg"
    return ImageAnnotation(file, record, stem, name, height, width, boxes)


def _length(text: str | None) -> int | None:
    """A side in pixels; None for an absent one and for 0, which some tools write when they do not know it."""
    try:
        number = float(text or 0)
    except ValueError:
        number = -1.0
    if number < 0 or not number.is_integer():
        raise UnusableError("malformed record", f"height and width must be whole numbers, not {text!r}")
    return int(number) or None


def _box(element: ElementTree.Element, number: int) -> BoxAnnotation:
    """One <object>. VOC counts pixels from 1 and includes the last one; corners are 0-based and continuous."""
    name = (element.findtext("name") or "").strip()
    difficult = (element.findtext("difficult") or "0").strip().lower() in ("1", "true")
    corners = None
    try:
        ymin, xmin, ymax, xmax = (
            float(element.findtext(f"bndbox/{side}") or "") for side in ("ymin", "xmin", "ymax", "xmax")
        )
    except ValueError:
        pass
    else:
        # Equal corners are a click without a drag, not a box of one pixel: left as they are, without area.
        empty = ymax <= ymin or xmax <= xmin
        corners = (ymin, xmin, ymax, xmax) if empty else (ymin - 1, xmin - 1, ymax, xmax)
    return BoxAnnotation(f"object {number}", name, corners, difficult=difficult)
