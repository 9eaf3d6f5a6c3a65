"""Image files: where they may lie, and what is proven before one is used."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efficientdet.data.image_file import UnusableError, locate, read_image


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


def test_whatever_passes_can_be_decoded_by_the_training(tmp_path: Path) -> None:
    """Damaged files are dropped here or decode there to the same size, so none can stop a training midway."""
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(0)
    passed = 0
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
        assert tf.io.decode_image(image.encoded, channels=3).shape == (image.height, image.width, 3)
    assert 20 < passed < 110


@pytest.mark.parametrize("data", [b"", b"<html>not found</html>", encoded("GIF", "L"), encoded("BMP")])
def test_anything_but_jpeg_and_png_is_undecodable(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "image.jpg").write_bytes(data)
    with pytest.raises(UnusableError, match="not a JPEG or PNG image"):
        read_image(tmp_path, "", "image.jpg")


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "image.jpg").mkdir()
    with pytest.raises(UnusableError, match=r"image\.jpg cannot be read \(Is a directory\)"):
        read_image(tmp_path, "", "image.jpg")


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
