"""What a user names is recognised as images or as a video, by whatever name and pattern."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efficientdet.errors import DataError
from efficientdet.frame_source import open_source
from efficientdet.image_source import ImageFiles
from efficientdet.video import Video
from tests.efficientdet.make_video import make_video

pytest.importorskip("av")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "clip.mp4", 12)


def test_the_one_video_of_a_pattern_or_folder_is_opened(clip: Path):
    for place in (clip, f"{clip.parent}/*.mp4", f"{clip.parent}/*", clip.parent):
        source = open_source(str(place))
        assert isinstance(source, Video), place
        assert (source.file, source.path, len(list(source))) == ("clip.mp4", clip, 12)


def test_a_video_is_known_by_its_content(clip: Path, tmp_path: Path):
    for name in ("clip", "clip.xyz", "clip.mp4.part"):
        shutil.copy(clip, tmp_path / name)
        assert len(list(open_source(str(tmp_path / name)))) == 12


def test_an_image_is_known_by_its_content(tmp_path: Path):
    Image.fromarray(np.zeros((3, 3, 3), np.uint8)).save(tmp_path / "photo", "png")
    [frame] = open_source(str(tmp_path / "photo"))
    assert (frame.file, frame.size) == ("photo", (3, 3))


def test_several_videos_are_a_sentence(clip: Path, tmp_path: Path):
    for name in ("a.mp4", "b.m2ts", "c.vob"):
        shutil.copy(clip, tmp_path / name)
    for place in (tmp_path, f"{tmp_path}/*"):
        with pytest.raises(DataError, match=r"leads to 3 videos, as a\.mp4, b\.m2ts, c\.vob; .* takes one video at a"):
            open_source(str(place))
    Image.fromarray(np.zeros((3, 3, 3), np.uint8)).save(tmp_path / "photo.png")
    assert isinstance(open_source(str(tmp_path)), ImageFiles)


@pytest.mark.parametrize("name", ["notes.txt", "notes", "notes.xyz"])
def test_neither_is_a_sentence(name: str, tmp_path: Path):
    (tmp_path / name).write_text("To be\nor not to be\n" * 50)
    with pytest.raises(DataError, match=rf"{name}: is no image in a known format, and as a video: {name}: "):
        open_source(str(tmp_path / name))


@pytest.mark.parametrize("place", ["", " "])
def test_no_place_is_not_the_working_folder(place: str):
    with pytest.raises(DataError, match="is no place of images; give an image, a folder"):
        open_source(place)
