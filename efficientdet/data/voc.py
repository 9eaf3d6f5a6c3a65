"""Pascal VOC: one XML per image in Annotations, image files in JPEGImages, splits in ImageSets/Main."""

from __future__ import annotations

import posixpath
import re
import stat
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from xml.parsers import expat

from efficientdet.data.annotation import MOST_BOXES, BoxAnnotation, Entry, ImageAnnotation, Read, too_many
from efficientdet.data.image_file import UnusableError, locate
from efficientdet.errors import DataError, printable
from efficientdet.label_map import LabelMap

IMAGE_FOLDER, ANNOTATION_FOLDER = "JPEGImages", "Annotations"
MOST_BYTES = 1 << 24
"""Of one XML: some 50,000 objects. It is held in memory as a whole."""
MOST_LEVELS = 100
_ENCODING = re.compile(
    r"utf-?(8|16)|(us-)?ascii|iso[-_]8859[-_]\d+|latin-?\d+|(windows-|cp)\d+|koi8-[ru]", re.IGNORECASE
)
LONGEST_SET = 1 << 28
"""Bytes of an image set: some ten million images."""


def voc_label_map(image_sets: Iterable[str | Path], classes: Iterable[str] | None = None) -> LabelMap:
    """The classes given, in that order, or else the names found in the XML of the image sets, sorted.

    Raises DataError when an image set is missing or empty, or no XML names any object.
    """
    image_sets = list(image_sets)
    for image_set in image_sets:
        _stems(image_set)
    if classes is not None:
        return LabelMap.from_names(classes)
    entries = (entry for image_set in image_sets for entry in read_voc(image_set))
    images = (entry for entry in entries if isinstance(entry, ImageAnnotation))
    names = {str(box.category) for image in images for box in image.boxes if box.category}
    if not names:
        raise DataError(f"{image_sets[0]}: the annotations of its images name no object at all; check the folder")
    return LabelMap.from_names(sorted(names))


def read_voc(image_set: str | Path) -> Iterator[Entry]:
    """Every image of an image set with its objects, in the order of the list.

    Args:
      image_set: the list file, FOLDER/ImageSets/Main/NAME.txt; the first word of a line is an image's stem,
        anything after it (the -1, 0, 1 of VOC's per-class lists) is ignored.

    The image is JPEGImages/FILENAME as the XML says, or STEM.jpg where it says nothing. An image whose XML
    is missing, does not parse or leads out of the folder comes with a `problem`, and so does one whose XML names the
    image of another. Raises DataError when the list is missing or empty.
    """
    return read_annotations(voc_root(image_set), ANNOTATION_FOLDER, _stems(image_set), str(image_set))


def read_annotations(root: str | Path, folder: str, stems: Iterable[str], listed: str) -> Iterator[Entry]:
    """The images of `stems`, each with the objects of its XML in `root`/`folder`, as `read_voc` gives them.

    `listed` is where the stems come from, to be named when one comes twice.
    """
    seen: set[str] = set()
    owners: dict[str, str] = {}
    images = boxes = 0
    for stem in stems:
        file, record = f"{Path(root, folder, stem)}.xml", f"image {printable(stem)}"
        try:
            if stem in seen:
                raise UnusableError("duplicate image id", f"{stem} is listed twice in {listed}")
            seen.add(stem)
            entry = _image(file, record, stem, _parse(locate(root, folder, f"{stem}.xml")))
            image = posixpath.normpath(entry.image)
            if owners.setdefault(image, stem) != stem:
                message = f"names the same file {image} as {owners[image]}; give each image one XML"
                entry = replace(entry, problem=("same file", message))
        except UnusableError as error:
            entry = ImageAnnotation(file, record, stem, f"{stem}.jpg", problem=(error.reason, str(error)))
        images, boxes = images + 1, boxes + len(entry.boxes)
        yield replace(entry, boxes=entry.boxes[:MOST_BOXES])
        yield from too_many(file, record, entry.boxes[MOST_BOXES:])
    yield Read(images, boxes)


def image_set_file(name: str) -> str:
    """The list file of an image set, relative to the VOC folder; a name that ends in `.txt` is one already."""
    return name if name.endswith(".txt") else f"ImageSets/Main/{name}.txt"


def voc_root(image_set: str | Path) -> Path:
    """The folder that holds Annotations, ImageSets and JPEGImages."""
    return Path(image_set).parent.parent.parent


def _stems(image_set: str | Path) -> list[str]:
    """The first words of the lines; bytes that are not UTF-8 stay as they are in names of files."""
    try:
        status = Path(image_set).stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > LONGEST_SET:
            cause = f"has {status.st_size} bytes" if stat.S_ISREG(status.st_mode) else "is not a regular file"
            raise DataError(f"{image_set}: the image set {cause}; give a list as in ImageSets/Main/train.txt")
        lines = Path(image_set).read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as error:
        cause = "not found" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise DataError(f"{image_set}: image set {cause}; give a list as in ImageSets/Main/train.txt") from error
    stems = [line.split()[0] for line in lines if line.strip()]
    if not stems:
        raise DataError(f"{image_set}: the image set lists no images at all; give one image's stem per line")
    return stems


def _parse(path: Path) -> ElementTree.Element:
    """The root element of an annotation; raises UnusableError. Entities, and with them XML bombs, are refused."""
    tree, depth = ElementTree.TreeBuilder(), 0

    def refuse(*_: object) -> None:
        raise UnusableError("unparsable XML", "the XML declares an entity, which no VOC annotation needs")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MOST_LEVELS:
            raise UnusableError("unparsable XML", f"the XML is nested more than {MOST_LEVELS} levels deep")
        tree.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        tree.end(tag)

    def declared(version: str, encoding: str | None, standalone: int) -> None:
        # Python would try any codec it has, escapes and e-mail among them.
        if encoding and not _ENCODING.fullmatch(encoding):
            raise UnusableError("unparsable XML", f"the XML is encoded in {printable(encoding)!r}; write it in UTF-8")

    parser = expat.ParserCreate()
    parser.XmlDeclHandler, parser.EntityDeclHandler = declared, refuse
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, tree.data
    try:
        parser.Parse(_read(path), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise UnusableError("unparsable XML", f"the XML does not parse ({error})") from error
    root = tree.close()
    if root.tag != "annotation":
        raise UnusableError("unparsable XML", f"the XML holds <{root.tag}>, not <annotation>")
    return root


def _read(path: Path) -> bytes:
    """The bytes of an XML; raises UnusableError."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnusableError("missing annotation file", f"the annotation file {path} is not a regular file")
        if status.st_size > MOST_BYTES:
            raise UnusableError("unparsable XML", f"the XML has more than {MOST_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        cause = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise UnusableError("missing annotation file", f"the annotation file {path} {cause}") from error


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
