"""No two images have the same id in a result file, and none has that of somebody else's image."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.coco_image_ids import LARGEST, ImageIds


@pytest.mark.parametrize(
    ("images", "ids"),
    [
        ([("000000000139.jpg", None), ("b/17.png", None)], [139, 17]),
        ([("photo.jpg", None), ("b/IMG_1.jpg", None)], ["photo.jpg", "b/IMG_1.jpg"]),
        ([("a/1.jpg", None), ("b/1.jpg", None), ("b/2.jpg", None)], ["a/1.jpg", "b/1.jpg", 2]),
        ([("1.jpg", None), ("1.png", None), ("001.jpg", None)], ["1.jpg", "1.png", "001.jpg"]),
        ([("x.jpg", "0042"), ("1.jpg", "x42")], [42, "x42"]),
        ([("a/x.jpg", "42"), ("b/x.jpg", "42"), ("c/x.jpg", "s"), ("d/x.jpg", "s")], ["a/x.jpg", "b/x.jpg", "c/x.jpg", "d/x.jpg"]),  # noqa: E501
        ([(f"{LARGEST}.png", None), (f"{LARGEST + 1}.png", None)], [LARGEST, f"{LARGEST + 1}.png"]),
        ([("9" * 5000 + ".png", None), ("٣.png", None)], ["9" * 5000 + ".png", "٣.png"]),
    ],
)  # fmt: skip
def test_ids(images: list[tuple[str, str | None]], ids: list[int | str]):
    told = ImageIds(images)
    assert [told(*image) for image in images] == ids


def test_one_by_itself_needs_no_list():
    assert ImageIds([])("000000000139.jpg") == 139


names = st.builds("{}/{}.jpg".format, st.sampled_from("abc"), st.integers(0, 20).map(str) | st.text("01x", min_size=1))


@settings(deadline=None)
@given(st.lists(names, unique=True), st.randoms())
def test_ids_are_unique_whatever_the_order(files: list[str], random):
    ids = ImageIds((file, None) for file in files)
    told = {file: ids(file) for file in files}
    assert len(set(told.values())) == len(files)
    shuffled = sorted(files, key=lambda _: random.random())
    other = ImageIds((file, None) for file in shuffled)
    assert {file: other(file) for file in files} == told
