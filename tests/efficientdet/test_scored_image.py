from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from efficientdet.coco_metric import Groundtruth
from efficientdet.errors import DataError
from efficientdet.scored_image import Found, ScoredImage, read_scored_images, write_scored_images

NUMBERS = st.floats(-1e6, 1e6, width=32).map(float)


@st.composite
def scored_images(draw: st.DrawFn) -> ScoredImage:
    n, m = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    truth = Groundtruth(
        draw(arrays(float, (n, 4), elements=NUMBERS)),
        draw(arrays(np.int32, n, elements=st.integers(1, 90))),
        draw(arrays(bool, n)),
        draw(arrays(float, n, elements=NUMBERS)),
        draw(arrays(bool, n)),
    )
    found = Found(
        draw(arrays(float, (m, 4), elements=NUMBERS)),
        draw(arrays(np.int32, m, elements=st.integers(1, 90))),
        draw(arrays(float, m, elements=st.floats(0, 1))),
    )
    return ScoredImage(draw(st.text()), draw(st.integers(1, 9999)), 7, truth, {"float": found, "champion/int8": found})


def same(a: ScoredImage, b: ScoredImage) -> bool:
    """Whether two images are equal to the last bit."""
    ours, theirs = [(*vars(x.truth).values(), *x.found["float"], *x.found["champion/int8"]) for x in (a, b)]
    arrays_equal = all(np.array_equal(x, y) for x, y in zip(ours, theirs, strict=True))
    return (a.image_id, a.height, a.width) == (b.image_id, b.height, b.width) and arrays_equal


@given(images=st.lists(scored_images(), max_size=3))
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read(images: list[ScoredImage], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write_scored_images(tmp_path_factory.mktemp("scored") / "images.jsonl.gz", images)
    back = list(read_scored_images(path))
    assert len(back) == len(images)
    assert all(same(a, b) for a, b in zip(images, back, strict=True))


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    nothing = Groundtruth(np.zeros((0, 4)), [], [], [])
    for name in ("b", "a"):
        write_scored_images(tmp_path / f"{name}.jsonl.gz", [ScoredImage(name, 2, 3, nothing, {})])
    assert [image.image_id for image in read_scored_images(tmp_path)] == ["a", "b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl.gz", "b.jsonl.gz"]


def test_equal_images_are_equal_bytes(tmp_path: Path) -> None:
    image = ScoredImage("1", 2, 3, Groundtruth(np.zeros((0, 4)), [], [], []), {})
    one, two = (write_scored_images(tmp_path / name, [image]).read_bytes() for name in ("a", "a"))
    assert one == two


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no scored images"):
        list(read_scored_images(tmp_path))
    path = tmp_path / "images.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"image_id": 1}\n')[:-4])
    with pytest.raises(DataError, match=r"images.jsonl.gz: is no file of scored images"):
        list(read_scored_images(path))
