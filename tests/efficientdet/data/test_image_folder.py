"""Whatever a record calls its image, the file stays in the folder and no other is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from efficientdet.data.image_folder import is_safe, write_image

JPEG = b"\xff\xd8 one"
HASHED = "8b4f2f3b0e5d5a1c.jpg"


@pytest.mark.parametrize("name", ["a.jpg", "train/a.jpg", "2017/deep/ä b.png", "no suffix"])
def test_a_usual_name_is_kept(tmp_path: Path, name: str) -> None:
    assert write_image(tmp_path, name, JPEG) == name
    assert (tmp_path / name).read_bytes() == JPEG


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "x/../../a.jpg", "./a.jpg", "x//a.jpg", "C:/a.jpg"])
def test_a_name_that_leads_out_keeps_its_last_part(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    assert write_image(folder, name, JPEG) == "a.jpg"
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


@pytest.mark.parametrize("name", ["", "..", "a/..", ".hidden", "a\0b", "a\nb", "..\\a.jpg", "\udcff.jpg", "x" * 300])
def test_a_name_that_is_none_gives_way_to_a_hash(tmp_path: Path, name: str) -> None:
    written = write_image(tmp_path, name, JPEG)
    assert len(written) == len(HASHED)
    assert written.endswith(".jpg")
    assert not is_safe(name)


def test_images_of_one_name_are_all_kept(tmp_path: Path) -> None:
    contents = (JPEG, JPEG + b"2", b"\x89PNG", JPEG, JPEG + b"2")
    names = [write_image(tmp_path, "a.jpg", content) for content in contents]
    assert names[0] == "a.jpg"
    assert names[2].endswith(".png")
    assert [(tmp_path / name).read_bytes() for name in names] == list(contents)
    assert len(set(names)) == 5


def test_a_file_where_a_folder_is_needed_and_the_reverse(tmp_path: Path) -> None:
    assert write_image(tmp_path, "a", JPEG) == "a"
    assert write_image(tmp_path, "a/b.jpg", JPEG + b"2") == "b.jpg"
    assert write_image(tmp_path, "c/d.jpg", JPEG) == "c/d.jpg"
    assert (tmp_path / write_image(tmp_path, "c", JPEG + b"3")).read_bytes() == JPEG + b"3"


def test_a_name_that_looks_like_a_hash_takes_none_away(tmp_path: Path) -> None:
    hashed = write_image(tmp_path / "other", "", JPEG)
    assert write_image(tmp_path, hashed, b"planted") == hashed
    assert write_image(tmp_path, "", JPEG) == hashed.replace(".jpg", "-1.jpg")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text("./\\a\0 é\udcff~:", max_size=12) | st.text(max_size=12), content=st.binary(max_size=3))
def test_any_name_stays_inside(tmp_path: Path, name: str, content: bytes) -> None:
    folder = tmp_path / "images"
    folder.mkdir(exist_ok=True)
    path = folder / write_image(folder, name, content)
    assert path.resolve().is_relative_to(folder)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [folder]
