"""Image files: where they may lie, and what is proven before one is used."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efficientdet.data.image_file import UnusableError, locate, open_image, read_image


def encoded(image_format: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).convert(mode).save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("image_format", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "L", {}),
        ("PNG", "LA", {}),
        ("PNG", "P", {}),
        ("PNG", "1", {}),
        ("PNG", "I;16", {}),
    ],
)
def test_bytes_format_and_size_come_from_the_file(tmp_path: Path, image_format: str, mode: str, options) -> None:
    data = encoded(image_format, mode, **options)
    (tmp_path / "misnamed.gif").write_bytes(data)
    image = read_image(tmp_path, "", "misnamed.gif")
    assert image.encoded == data
    assert (image.image_format, image.height, image.width) == (image_format.lower(), 30, 40)


def test_a_camera_jpeg_of_several_pictures_is_a_jpeg(tmp_path: Path) -> None:
    picture = Image.linear_gradient("L").convert("RGB")
    picture.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[picture.resize((8, 8))])
    image = read_image(tmp_path, "", "a.jpg")
    assert (image.image_format, image.width) == ("jpeg", 256)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("fraction", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_cut_file_is_undecodable(tmp_path: Path, image_format: str, fraction: float, progressive: bool) -> None:
    buffer = io.BytesIO()
    noise = Image.effect_noise((200, 150), 80)
    noise.save(buffer, image_format, **({"progressive": progressive} if image_format == "JPEG" else {}))
    data = buffer.getvalue()
    (tmp_path / "cut").write_bytes(data[: int(len(data) * fraction)])
    with pytest.raises(UnusableError, match="cannot be decoded") as error:
        read_image(tmp_path, "", "cut")
    assert error.value.reason == "undecodable image"


def test_whatever_passes_and_is_decoded_by_the_training_has_the_stated_size(tmp_path: Path) -> None:
    """Files are not decoded here, so that damage to the coded pixels alone is for the training to report."""
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(0)
    passed = decoded = 0
    for trial in range(120):
        data = bytearray(encoded("JPEG", progressive=trial % 2 == 0))
        for position in rng.integers(0, len(data), 2):
            data[position] = rng.integers(256)
        if trial % 3 == 0:
            data = data[: rng.integers(20, len(data))] + b"\xff\xd9"
        (tmp_path / "a.jpg").write_bytes(data)
        try:
            image = read_image(tmp_path, "", "a.jpg")
        except UnusableError:
            continue
        passed += 1
        with suppress(tf.errors.InvalidArgumentError):
            assert tf.io.decode_image(image.encoded, channels=3).shape == (image.height, image.width, 3)
            decoded += 1
    assert 20 < decoded <= passed < 110


@pytest.mark.parametrize("data", [b"", b"<html>not found</html>", encoded("ICO"), encoded("JPEG2000"), encoded("PDF")])
def test_any_other_format_is_undecodable(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "image.jpg").write_bytes(data)
    with pytest.raises(UnusableError, match="not a JPEG, PNG, WebP, GIF, BMP, TIFF or PPM image"):
        read_image(tmp_path, "", "image.jpg")


@pytest.mark.parametrize("image_format", ["WEBP", "GIF", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P"])
def test_other_formats_become_png(image_format: str, mode: str) -> None:
    if (image_format, mode) in {("WEBP", "P"), ("PPM", "P")}:
        mode = "RGB"
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encoded(image_format, mode, **options)
    image = open_image(data, "a.x")
    assert (image.image_format, image.height, image.width) == ("png", 30, 40)
    assert image.notes == (("converted image", f"is {image_format}, and was converted to PNG"),)
    expected, got = (Image.open(io.BytesIO(each)).convert("RGB") for each in (data, image.encoded))
    np.testing.assert_array_equal(np.asarray(got), np.asarray(expected))


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "TIFF"])
def test_of_an_animation_the_first_picture_is_taken(image_format: str) -> None:
    buffer, pictures = io.BytesIO(), [Image.new("RGB", (40, 30), colour) for colour in ("red", "lime", "blue")]
    pictures[0].save(buffer, image_format, save_all=True, append_images=pictures[1:])
    image = open_image(buffer.getvalue(), "a.x")
    assert [reason for reason, _ in image.notes] == ["converted image", "animation"]
    assert Image.open(io.BytesIO(image.encoded)).getpixel((20, 15))[0] > 200


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "PPM"])
def test_of_sixteen_bits_the_upper_eight_are_taken(image_format: str) -> None:
    tf = pytest.importorskip("tensorflow")
    values, buffer = np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50, io.BytesIO()
    Image.fromarray(values).save(buffer, image_format)
    pixels = tf.io.decode_image(open_image(buffer.getvalue(), "a.x").encoded, channels=3).numpy()
    assert np.abs(pixels.astype(int) - (values >> 8)[..., None]).max() <= 1


def test_pixels_that_are_no_colours_are_undecodable() -> None:
    for values in (np.ones((4, 4), np.float32), np.full((4, 4), 1 << 20, np.int32)):
        buffer = io.BytesIO()
        Image.fromarray(values).save(buffer, "TIFF")
        with pytest.raises(UnusableError, match=r"a\.tif cannot be decoded \(its pixels "):
            open_image(buffer.getvalue(), "a.tif")


def test_a_tiff_is_turned_upright_as_all_who_read_it_do() -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.linear_gradient("L").resize((40, 30)).save(buffer, "TIFF", exif=exif)
    image = open_image(buffer.getvalue(), "a.tif")
    assert (image.height, image.width, image.orientation) == (40, 30, 1)


def png_header(width: int, height: int) -> bytes:
    """A PNG of that size by its header, with a sound sum, and of next to no data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    encoded = b"\x89PNG\r\n\x1a\n"
    for data in (b"IHDR" + header, b"IDAT" + zlib.compress(b""), b"IEND"):
        encoded += struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return encoded


def bombs() -> Iterator[tuple[str, bytes]]:
    """Small files that say they are huge."""
    jpeg = bytearray(encoded("JPEG"))
    position = jpeg.index(b"\xff\xc0")
    jpeg[position + 5 : position + 9] = struct.pack(">HH", 60_000, 60_000)
    gif = bytearray(encoded("GIF", "L"))
    gif[6:10] = struct.pack("<HH", 60_000, 60_000)
    bmp = bytearray(encoded("BMP"))
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    yield "png", png_header(30_000, 30_000)
    yield "jpeg", bytes(jpeg)
    yield "gif", bytes(gif)
    yield "bmp", bytes(bmp)
    yield "ppm", b"P6 60000 60000 255 "
    for size in (10_100, 16_000):  # beyond our limit, and beyond that of PIL
        buffer = io.BytesIO()
        Image.new("1", (size, size)).save(buffer, "TIFF", compression="group4")
        yield f"tiff {size}", buffer.getvalue()


@pytest.mark.parametrize(("kind", "data"), [pytest.param(*bomb, id=bomb[0]) for bomb in bombs()])
def test_a_decompression_bomb_is_too_large(kind: str, data: bytes) -> None:
    assert len(data) < 100_000
    tracemalloc.start()
    with pytest.raises(UnusableError, match="pixels") as error:
        open_image(data, f"a.{kind}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert error.value.reason == "too large"
    assert peak < 1 << 22


def test_a_file_of_too_many_bytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate((1 << 28) + 1)
    with pytest.raises(UnusableError, match="has 268435457 bytes, above 268435456") as error:
        read_image(tmp_path, "", "a.jpg")
    assert error.value.reason == "too large"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_no_image_and_does_not_block(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "image.jpg")
    with pytest.raises(UnusableError, match=r"image\.jpg is not a regular file") as error:
        read_image(tmp_path, "", "image.jpg")
    assert error.value.reason == "missing image file"


@pytest.mark.parametrize("name", ["../x.jpg", "/etc/passwd", "a/../../x.jpg", "link.jpg", "linked/x.jpg"])
def test_no_path_leads_out_of_the_data_folder(tmp_path: Path, name: str) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (tmp_path / "x.jpg").write_bytes(encoded("JPEG"))
    (root / "link.jpg").symlink_to(tmp_path / "x.jpg")
    (root / "linked").symlink_to(tmp_path)
    with pytest.raises(UnusableError, match="leads out of the data folder") as error:
        read_image(root, "", name)
    assert error.value.reason == "outside data folder"


def test_links_within_a_linked_data_folder_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real/images").mkdir(parents=True)
    (tmp_path / "real/images/a.jpg").write_bytes(encoded("JPEG"))
    (tmp_path / "real/b.jpg").symlink_to("images/a.jpg")
    (tmp_path / "data").symlink_to("real")
    assert locate(tmp_path / "data", "b.jpg") == tmp_path / "real/images/a.jpg"
    assert read_image(tmp_path / "data", "", "images/../b.jpg").width == 40
