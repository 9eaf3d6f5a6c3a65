from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efficientdet.report.figure import Figure, Region
from efficientdet.report.pictures import CLOSE_UP_SIDE, WHOLE_SIDE, stored_pictures, take_pictures

WHOLE, PART = Region(0, 0, 200, 100), Region(100, 0, 50, 50)


def encoded(width: int = 200, height: int = 100, kind: str = "JPEG", mode: str = "RGB") -> bytes:
    """The right half is red."""
    image = Image.new("RGB", (width, height), "blue")
    image.paste("red", (width // 2, 0, width, height))
    stored = io.BytesIO()
    image.convert(mode).save(stored, kind)
    return stored.getvalue()


def opened(jpeg: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(jpeg)))


def figures(*views: tuple[int, Region]) -> list[Figure]:
    return [Figure(image, region, (), ("",)) for image, region in views]


def test_parts_are_cut_and_whole_images_made_small(scene, look) -> None:
    study = look([scene("7")])
    taken = take_pictures(study, figures((0, WHOLE), (0, PART)), [("7", encoded(1600, 800))], 10**6)
    assert opened(taken[0, WHOLE]).size == (WHOLE_SIDE, WHOLE_SIDE // 2)
    assert opened(taken[0, PART]).size == (CLOSE_UP_SIDE, CLOSE_UP_SIDE), "of a file larger than the annotation says"
    assert np.asarray(opened(taken[0, PART])).mean(axis=(0, 1)) == pytest.approx([254, 0, 0], abs=3)


def test_only_what_is_wanted_is_read(scene, look) -> None:
    def pictures() -> Iterator[tuple[str, bytes]]:
        yield "1", b"not wanted, so not decoded"
        yield "2", encoded()
        raise AssertionError("read on")

    study = look([scene("1"), scene("2"), scene("3")])
    assert list(take_pictures(study, figures((1, WHOLE), (1, WHOLE)), pictures(), 10**6)) == [(1, WHOLE)]
    assert take_pictures(study, [], pictures(), 10**6) == {}


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("PNG", "L"), ("PNG", "P"), ("JPEG", "CMYK")])
def test_any_picture_of_an_example(scene, look, kind: str, mode: str) -> None:
    taken = take_pictures(look([scene("1")]), figures((0, WHOLE)), [("1", encoded(kind=kind, mode=mode))], 10**6)
    assert opened(taken[0, WHOLE]).mode == "RGB"


def test_of_sixteen_bits_the_upper_are_shown(scene, look) -> None:
    stored = io.BytesIO()
    Image.fromarray(np.full((100, 200), 100 << 8, np.uint16)).save(stored, "PNG")
    taken = take_pictures(look([scene("1")]), figures((0, WHOLE)), [("1", stored.getvalue())], 10**6)
    assert np.asarray(opened(taken[0, WHOLE])).mean() == pytest.approx(100, abs=1)


def test_what_is_missing_or_damaged_is_left_out(scene, look) -> None:
    study = look([scene("1"), scene("2"), scene("3")])
    pictures = [("1", b"no image"), ("2", encoded()[:200]), ("4", encoded())]
    assert take_pictures(study, figures(*((i, WHOLE) for i in range(3))), pictures, 10**6) == {}


def test_all_are_made_smaller_until_they_fit(scene, look) -> None:
    study = look([scene(str(i)) for i in range(4)])
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8))
    stored = io.BytesIO()
    noise.save(stored, "PNG")
    pictures = [(str(i), stored.getvalue()) for i in range(4)]
    wanted = figures(*((i, WHOLE) for i in range(4)))
    large = take_pictures(study, wanted, pictures, 10**6)
    budget = sum(map(len, large.values())) // 3
    small = take_pictures(study, wanted, pictures, budget)
    assert budget / 4 < sum(map(len, small.values())) <= budget
    assert {opened(jpeg).size for jpeg in small.values()} < {(w, w // 2) for w in range(40, 200)}
    assert take_pictures(study, wanted, pictures, 0) == {}


def test_pictures_of_shards(tmp_path: Path) -> None:
    import tensorflow as tf

    from efficientdet.data.example import AnnotatedImage, serialise
    from efficientdet.label_map import LabelMap

    empty = np.zeros((0, 4), np.float32)
    columns = (np.zeros(0, np.int32), np.zeros(0, bool), np.zeros(0, np.float32), np.zeros(0, bool))
    image = AnnotatedImage("42", "a.jpg", encoded(), "jpeg", 100, 200, empty, *columns)
    with tf.io.TFRecordWriter(str(tmp_path / "examples-0")) as writer:
        writer.write(serialise(image, LabelMap.from_names(["a"])))
    assert list(stored_pictures(str(tmp_path / "examples-*"))) == [("42", encoded())]
