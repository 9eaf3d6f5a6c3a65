"""Addresses of TensorFlow's own memory file system stand for those of a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from efficientdet.data.annotation import ImageAnnotation, Read
from efficientdet.data.ledger import Finding
from efficientdet.data.remote_file import local_file, with_local_images
from efficientdet.errors import DataError


@pytest.fixture(scope="module")
def bucket() -> str:
    tf.io.gfile.makedirs("ram://bucket/a")
    with tf.io.gfile.GFile("ram://bucket/a/1.jpg", "wb") as file:
        file.write(b"one")
    return "ram://bucket/a"


def test_a_file_is_fetched_once_or_anew(bucket: str, tmp_path: Path) -> None:
    copy = local_file(f"{bucket}/1.jpg", tmp_path / "copies")
    assert (copy.read_bytes(), copy.suffix) == (b"one", ".jpg")
    copy.write_bytes(b"kept")
    assert local_file(f"{bucket}/1.jpg", tmp_path / "copies").read_bytes() == b"kept"
    assert local_file(f"{bucket}/1.jpg", tmp_path / "copies", anew=True).read_bytes() == b"one"
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    assert local_file("some/file.jpg", tmp_path) == Path("some/file.jpg")


def test_what_cannot_be_fetched_is_named(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ram://bucket/a/2\.jpg: cannot be fetched \(.*\); check address"):
        local_file(f"{bucket}/2.jpg", tmp_path)
    with pytest.raises(DataError, match=r"nowhere://a/b: cannot be fetched"):
        local_file("nowhere://a/b", tmp_path)
    assert not list(tmp_path.iterdir())


def test_images_are_fetched_and_what_is_local_stays(bucket: str, tmp_path: Path) -> None:
    names = [f"{bucket}/1.jpg", f"{bucket}/2.jpg", "here.jpg"]
    entries = [("TRAIN", ImageAnnotation("a.csv", f"image {name}", name, name)) for name in names]
    stray = ("", Finding("malformed row", "a.csv", "line 1", ""))
    count = ("TRAIN", Read(3, 0))
    *images, last, read = with_local_images([*entries, stray, count], tmp_path)
    assert (last, read) == (stray, count)
    assert [key for key, _ in images] == ["TRAIN"] * 3
    fetched, missing, here = (image for _, image in images)
    assert Path(fetched.image).read_bytes() == b"one"
    assert fetched.source_id == names[0]
    assert missing.problem[0] == "missing image file"
    assert here == entries[2][1]
