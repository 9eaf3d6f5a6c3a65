"""Markers and chunks: what they say agrees with a decoder, and nothing that is cut or damaged passes for whole."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from efficientdet.data.image_structure import Structure, image_structure


def encoded(image_format: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((40, 30), 80).convert(mode).save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("image_format", "mode", "options", "usual"),
    [
        ("JPEG", "RGB", {}, True),
        ("JPEG", "L", {}, True),
        ("JPEG", "RGB", {"progressive": True}, True),
        ("JPEG", "RGB", {"restart_marker_blocks": 1}, True),
        ("JPEG", "RGB", {"comment": b"\xff\xd9 no end", "subsampling": 0}, True),
        ("JPEG", "CMYK", {}, False),
        ("PNG", "RGB", {}, True),
        ("PNG", "RGBA", {}, True),
        ("PNG", "L", {}, True),
        ("PNG", "LA", {}, True),
        ("PNG", "P", {}, True),
        ("PNG", "1", {}, False),
        ("PNG", "P", {"bits": 4}, False),
        ("PNG", "I;16", {}, False),
    ],
)
def test_the_structure_is_what_a_decoder_finds(image_format: str, mode: str, options, usual: bool) -> None:
    data = encoded(image_format, mode, **options)
    assert image_structure(data) == Structure(image_format.lower(), 30, 40, 1, usual)
    assert image_structure(data + b"appended") == image_structure(data)


def test_an_animated_png_is_not_usual() -> None:
    data = encoded("PNG", save_all=True, append_images=[Image.new("RGB", (40, 30))])
    found = image_structure(data)
    assert found is not None
    assert not found.usual


@pytest.mark.parametrize("orientation", [0, *range(1, 9), 9, 65535])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_the_orientation_is_exifs_or_one(image_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = image_structure(encoded(image_format, exif=exif))
    assert found is not None
    assert found.orientation == (orientation if 1 <= orientation <= 8 else 1)


def test_damaged_exif_is_no_orientation() -> None:
    for exif in (b"", b"II*\0", b"\0" * 20, b"II*\0\x08\0\0\0\xff\xff", b"MM\0*\xff\xff\xff\xff"):
        found = image_structure(encoded("JPEG", exif=b"Exif\0\0" + exif))
        assert found == Structure("jpeg", 30, 40, 1, True)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("progressive", [False, True])
def test_no_part_passes_for_the_whole(image_format: str, progressive: bool) -> None:
    data = encoded(image_format, "L", progressive=progressive)
    assert all(image_structure(data[:length]) is None for length in range(len(data)))


@settings(deadline=None)
@given(position=st.integers(8, 10**9), byte=st.integers(1, 255))
def test_no_damaged_png_passes(position: int, byte: int) -> None:
    data = bytearray(encoded("PNG", "L"))
    data[8 + position % (len(data) - 8)] ^= byte
    assert image_structure(bytes(data)) is None


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_anything_may_follow_the_signature(data: bytes) -> None:
    for signature in (b"\xff\xd8\xff", b"\xff\xd8\xff\xc0\0\x11", b"\x89PNG\r\n\x1a\n", b""):
        assert image_structure(signature + data) is None or data


def test_an_empty_endless_or_headless_image_is_none() -> None:
    jpeg, png = encoded("JPEG"), encoded("PNG")
    scan = jpeg.index(b"\xff\xda")
    assert image_structure(b"\xff\xd8\xff\xd9") is None
    assert image_structure(jpeg[:scan] + b"\xff\xd9") is None, "no scan"
    assert image_structure(b"\xff\xd8" + jpeg[scan:]) is None, "no frame"
    assert image_structure(b"\xff\xd8" + b"\xff" * 10_000) is None
    assert image_structure(png[:8] + png[-12:]) is None, "no header"
    assert image_structure(encoded("GIF", "L")) is None
