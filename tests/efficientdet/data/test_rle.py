"""Run lengths agree with COCO's own library, and pictures of masks with the masks."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from efficientdet.data.image_file import UnusableError
from efficientdet.data.mask import encode_mask
from efficientdet.data.rle import png_mask, run_lengths

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(MASKS)
def test_cocos_library_reads_them(mask: NDArray[np.bool_]) -> None:
    from pycocotools import mask as theirs

    runs = run_lengths(mask)
    decoded = theirs.decode(theirs.frPyObjects(runs, *runs["size"]))
    np.testing.assert_array_equal(decoded.astype(bool), mask)
    assert sum(runs["counts"]) == mask.size


@given(MASKS)
def test_a_mask_of_an_example_is_read_back(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(png_mask(encode_mask(run_lengths(mask), *mask.shape), *mask.shape), mask)


def png(mode: str, size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 1).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "1", "P", "I;16"])
def test_any_kind_of_picture_is_a_mask(mode: str) -> None:
    assert png_mask(png(mode, (3, 2)), 2, 3).shape == (2, 3)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "cannot be decoded"), (png("L", (3, 2))[:40], "cannot be decoded"), (png("L", (2, 3)), "has 2x3 pixels")],
)
def test_what_is_no_mask_of_the_image_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(UnusableError, match=says) as caught:
        png_mask(content, 2, 3)
    assert caught.value.reason == "unusable mask"
