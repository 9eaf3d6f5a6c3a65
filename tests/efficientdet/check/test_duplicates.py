"""Which images are taken for the same, and that all of these are found."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from efficientdet.check.duplicates import MAX_DISTANCE, DuplicateIndex, Sight, alike
from efficientdet.check.spill import Spill


def encoded(image: Image.Image, image_format: str = "PNG", **options: int) -> bytes:
    stored = io.BytesIO()
    image.save(stored, image_format, **options)
    return stored.getvalue()


@pytest.fixture
def index():
    with Spill() as spill:
        yield DuplicateIndex(spill)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda image: encoded(image, "JPEG", quality=30), True),
        (lambda image: encoded(image.resize((64, 48))), True),
        (lambda image: encoded(image.convert("L")), True),
        (lambda image: encoded(Image.eval(image, lambda v: int(v * 0.8))), True),
        (lambda image: encoded(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)), False),
        (lambda image: encoded(image.crop((40, 30, 128, 96))), False),
    ],
)
def test_what_looks_the_same(index: DuplicateIndex, paint, change, same: bool) -> None:
    image = paint(1)
    assert index.add("train", "image 1", "1.png", Sight.of(encoded(image))) == []
    twins = index.add("val", "image 2", "2.png", Sight.of(change(image)))
    assert [(twin.split, twin.record, twin.path, twin.exact) for twin in twins] == [
        ("train", "image 1", "1.png", False)
    ] * same


def test_equal_bytes_come_before_equal_looks(index: DuplicateIndex, paint) -> None:
    image = paint(2)
    index.add("train", "alike", "", Sight.of(encoded(image, "JPEG", quality=50)))
    index.add("train", "equal", "", Sight.of(encoded(image)))
    index.add("val", "copy", "", Sight.of(encoded(image)))
    twins = index.add("val", "copy 2", "", Sight.of(encoded(image)))
    assert [(twin.record, twin.exact) for twin in twins] == [("equal", True), ("copy", True)]


def test_images_of_16_bits_differ(index: DuplicateIndex) -> None:
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(0, 2**16, (8, 8), np.uint16).repeat(8, 0).repeat(8, 1)
        assert index.add("train", str(seed), "", Sight.of(encoded(Image.fromarray(pixels)))) == []


def test_unlike_images_are_no_twins(index: DuplicateIndex, paint) -> None:
    for seed in range(60):
        assert index.add("train", str(seed), "", Sight.of(encoded(paint(seed)))) == []


words = st.integers(0, 2**64 - 1)


@given(words, st.sets(st.integers(0, 63), max_size=12), st.lists(words, max_size=20))
def test_every_near_hash_is_found(bits: int, flipped: set[int], others: list[int]) -> None:
    thumbnail = np.arange(256, dtype=np.uint8)
    other = bits ^ sum(1 << place for place in flipped)
    with Spill() as spill:
        index = DuplicateIndex(spill)
        for number, stranger in enumerate(others):
            index.add("strangers", str(number), "", Sight(bytes([1, number]), stranger, thumbnail[::-1].copy()))
        index.add("train", "one", "", Sight(b"one", bits, thumbnail))
        twins = index.add("val", "other", "", Sight(b"other", other, thumbnail))
    assert bool(twins) == (len(flipped) <= MAX_DISTANCE)


def test_blank_pages_do_not_pile_up(index: DuplicateIndex) -> None:
    pages = [Image.new("RGB", (40, 40 + i), (255, 255, 255)) for i in range(300)]
    twins = [index.add("train", str(i), "", Sight.of(encoded(page))) for i, page in enumerate(pages)]
    assert twins[0] == []
    assert all(twin[0].record == "0" for twin in twins[1:])
    assert index._db.execute("SELECT COUNT(*) FROM words").fetchone() == (4,)


def test_flat_thumbnails_are_alike_at_one_brightness() -> None:
    white, black = np.full(256, 255, np.uint8), np.zeros(256, np.uint8)
    assert alike(white, white - 1)
    assert not alike(white, black)
    assert not alike(white, np.arange(256, dtype=np.uint8))
