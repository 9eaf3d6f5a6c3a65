"""Image files are found in order, and read as training reads them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from efficientdet.data.input_pipeline import decode_image
from efficientdet.errors import DataError
from efficientdet.frame import BrokenFrame
from efficientdet.image_source import ImageFiles, decode_frame, find_images, read_frame, read_image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with a JPEG, a PNG in a subfolder, a GIF, a broken JPEG and a text file."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    picture = Image.new("RGB", (64, 64), (10, 200, 30))
    picture.save(folder / "a.jpg")
    picture.resize((90, 45)).save(folder / "sub" / "b.PNG")
    picture.save(folder / "c.gif")
    (folder / "broken.jpg").write_bytes((folder / "a.jpg").read_bytes()[:600])
    (folder / "notes.txt").write_text("no image")
    return folder


def names(source: ImageFiles) -> list[str]:
    return [frame.file for frame in source]


def test_a_folder_is_all_its_images_in_order(images: Path):
    source = ImageFiles(images)
    assert source.total == 4
    assert not source.live
    frames = list(source)
    assert [frame.file for frame in frames] == ["a.jpg", "broken.jpg", "c.gif", "sub/b.PNG"]
    broken = frames[1]
    assert isinstance(broken, BrokenFrame)
    assert "broken.jpg: not a readable image (" in broken.reason
    assert frames[3].size == (45, 90)
    assert names(ImageFiles(images, leave_out=[images / "sub"])) == ["a.jpg", "broken.jpg", "c.gif"]


def test_a_pattern_names_images_from_its_fixed_folder(images: Path, monkeypatch: pytest.MonkeyPatch):
    assert names(ImageFiles(f"{images}/*.jpg")) == ["a.jpg", "broken.jpg"]
    assert names(ImageFiles(f"{images.parent}/*/*/b.*")) == ["images/sub/b.PNG"]
    assert names(ImageFiles(f"{images}/**/*.PNG")) == ["sub/b.PNG"]
    monkeypatch.chdir(images)
    assert names(ImageFiles("*.gif")) == ["c.gif"]
    Image.new("RGB", (3, 3)).save("odd[1].png")
    assert names(ImageFiles("odd[1].png")) == ["odd[1].png"], "a file of that very name is meant"


def test_no_image_is_a_sentence(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for place, says in (
        (tmp_path / "empty", r"empty: holds no image; looked for files ending in \.bmp"),
        (tmp_path / "nowhere", "nowhere: there is no such file or folder; correct the path"),
        (f"{tmp_path}/*.jpg", rf"\*\.jpg: matches no file below {tmp_path}; correct the pattern"),
        ("", "'': is no place of images"),
        (" ", "' ': is no place of images"),
    ):
        with pytest.raises(DataError, match=says):
            find_images(place)


def test_a_video_among_images_is_told_of_as_one(images: Path):
    (images / "clip.mp4").write_bytes(b"\0" * 100)
    (images / "rare.m2ts").write_bytes(b"\0" * 100)
    for place in (images, f"{images}/*[!t]"):
        told = {frame.file: frame.reason for frame in ImageFiles(place) if isinstance(frame, BrokenFrame)}
        assert set(told) == {"broken.jpg", "clip.mp4", "rare.m2ts"}
        assert "clip.mp4: is a video, where images are read; `efficientdet infer --input` takes one" in told["clip.mp4"]
    with pytest.raises(DataError, match=r"clip\.\*: leads to videos alone, as clip\.mp4, but images are wanted"):
        ImageFiles(f"{images}/clip.*")


def test_pictures_are_read_as_stored_and_say_so(tmp_path: Path):
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: show me turned by 90 degrees
    Image.new("L", (30, 20), 7).save(tmp_path / "turned.jpg", exif=turned)
    frame = read_frame(tmp_path / "turned.jpg", "turned.jpg")
    assert frame.image.shape == (20, 30, 3)
    assert (frame.image == 7).all()
    assert frame.orientation == 6


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_pixels_are_those_that_training_decodes(mode: str, tmp_path: Path):
    ramp = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21
    picture = Image.fromarray(ramp) if mode == "I;16" else Image.fromarray((ramp >> 8).astype(np.uint8)).convert(mode)
    picture.save(tmp_path / "ramp.png")
    expected = decode_image(tf.constant((tmp_path / "ramp.png").read_bytes())).numpy()
    np.testing.assert_array_equal(read_image(tmp_path / "ramp.png"), expected)


def test_jpegs_are_close_to_what_training_decodes(tmp_path: Path):
    """TensorFlow's transform is the fast one: measured on photos, 5 levels at most and 1 on average."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    Image.fromarray(noise).save(tmp_path / "noise.jpg", quality=90)
    expected = decode_image(tf.constant((tmp_path / "noise.jpg").read_bytes())).numpy()
    apart = np.abs(read_image(tmp_path / "noise.jpg").astype(int) - expected)
    assert apart.max() <= 12
    assert apart.mean() < 2


def test_bombs_and_folders_are_sentences(tmp_path: Path):
    bomb = io.BytesIO()
    Image.new("1", (11_000, 10_000)).save(bomb, "PNG")
    with pytest.raises(DataError, match=r"bomb\.png: has 11000x10000 pixels, above 100000000; give a smaller"):
        decode_frame(bomb.getvalue(), "bomb.png", "bomb.png")
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        read_image(tmp_path)
    with pytest.raises(DataError, match="not a readable image"):
        decode_frame(b"", "nothing", "nothing")
