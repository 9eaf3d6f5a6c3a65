"""The laws hold for whatever junk stands in the fields of a COCO file or a VOC annotation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .laws import HEIGHT, WIDTH, coco_laws, make_folder, voc_laws

PATHS = ["a.jpg", "./a.jpg", "link.jpg", "../../secret.jpg", "/etc/passwd", "~", ".", "", "..\\a.jpg"]
NAMES = [*PATHS, "a\0.jpg", "\udcff"]
NUMBERS = st.integers(-5, 60) | st.sampled_from([float("nan"), float("inf"), 1e300, -1e308, 1e-30, 10**400, 2**63])
SCALARS = st.none() | st.booleans() | NUMBERS | st.floats() | st.text(max_size=5) | st.sampled_from(NAMES)
JUNK: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
IDS = st.integers(1, 3) | st.sampled_from(["1", 1.0, "x"])


def fields(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object of some of those fields, each mostly as it should be; at times junk, as the whole or in a field."""
    sound = st.fixed_dictionaries({}, optional={name: value | value | JUNK for name, value in known.items()})
    return sound | sound | sound | JUNK


IMAGES = fields(
    id=IDS,
    file_name=st.sampled_from(["a.jpg", "a.jpg", *NAMES]),
    height=st.just(HEIGHT),
    width=st.just(WIDTH),
    video=IDS,
)
ANNOTATIONS = fields(
    id=IDS,
    image_id=IDS,
    category_id=IDS,
    bbox=st.lists(NUMBERS, min_size=4, max_size=4),
    area=NUMBERS,
    iscrowd=st.integers(0, 1),
    caption=st.text(max_size=3),
    segmentation=st.lists(st.lists(NUMBERS, min_size=5, max_size=8), max_size=2)
    | fields(counts=st.lists(NUMBERS, max_size=3) | st.text(max_size=4), size=st.just([HEIGHT, WIDTH])),
)
CATEGORIES = fields(id=IDS, name=st.text(max_size=3))
LISTS = {
    "images": st.lists(IMAGES, min_size=1, max_size=4),
    "annotations": st.lists(ANNOTATIONS, max_size=5),
    "categories": st.lists(CATEGORIES, max_size=3),
}
# Pairs rather than a dictionary: keys may come twice.
DOCUMENTS = st.lists(
    st.sampled_from(sorted(LISTS)).flatmap(lambda key: st.tuples(st.just(key), LISTS[key]))
    | st.tuples(st.text(max_size=3), JUNK)
    | st.tuples(st.sampled_from(sorted(LISTS)), JUNK),
    max_size=5,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("laws"))


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(document=DOCUMENTS, first=LISTS["images"], ascii_only=st.booleans())
def test_any_json_balances_or_is_refused(
    folder: Path, document: Sequence[tuple[str, Any]], first: list[Any], ascii_only: bool
) -> None:
    pairs = [("images", first), *document]
    text = ",".join(f"{json.dumps(key)}:{json.dumps(value, ensure_ascii=ascii_only)}" for key, value in pairs)
    ledger = coco_laws(f"{{{text}}}".encode("utf-8", "surrogatepass"), folder)
    lists = [value for key, value in pairs if key == "images" and isinstance(value, list)]
    if ledger is not None:
        assert ledger.images.read == sum(map(len, lists))


TEXTS = st.sampled_from(["a", "b", "1", "1.5", "nan", "inf", "1e300", "-7", "١", "", " \n", *PATHS]) | st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=5
)
TAGS = st.sampled_from(["filename", "size", "width", "height", "object", "name", "bndbox", "xmin", "xmax", "difficult"])


def element(tag: str, content: str) -> str:
    return f"<{tag}>{content}</{tag}>"


TREES = st.recursive(
    TEXTS.map(escape), lambda inner: st.lists(st.builds(element, TAGS, inner), max_size=4).map("".join), max_leaves=8
)
SIDES = st.integers(-5, 60).map(str) | TEXTS.map(escape)
BOXES = st.tuples(*(st.builds(element, st.just(tag), SIDES) for tag in ("xmin", "ymin", "xmax", "ymax"))).map("".join)
OBJECTS = st.builds(
    lambda name, sides, more: element("object", element("name", name) + element("bndbox", sides) + more),
    st.sampled_from(["a", "b", ""]),
    BOXES,
    TREES,
)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.just("a.jpg") | TEXTS.map(escape),
    parts=st.lists(OBJECTS | TREES, max_size=5),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]),
)
def test_any_xml_balances(folder: Path, name: str, parts: list[str], encoding: str) -> None:
    voc_laws(element("annotation", element("filename", name) + "".join(parts)).encode(encoding), folder)


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=200), form=st.sampled_from([coco_laws, voc_laws]))
def test_any_bytes_balance_or_are_refused(folder: Path, data: bytes, form: Any) -> None:
    form(data, folder)
