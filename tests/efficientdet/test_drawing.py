"""What is drawn is what was asked for."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efficientdet.detections import Found
from efficientdet.drawing import DrawingStyle, DrawnVideo, PictureFolder
from efficientdet.frame import Frame
from efficientdet.label_map import LabelMap
from efficientdet.video import Video
from efficientdet.visualize import colour_of

LABELS = LabelMap.from_names(["cat", "dog"])
FOUND: Found = (
    np.array([[20, 10, 60, 50], [70, 60, 110, 100]], np.float32),
    np.array([0.9, 0.4], np.float32),
    np.array([1, 2], np.int32),
)
GREY = np.full((120, 160, 3), 90, np.uint8)


def drawn(style: DrawingStyle) -> np.ndarray:
    return np.asarray(style.draw(Frame("a.png", GREY), FOUND, LABELS))


def test_no_more_boxes_than_asked_for_the_strongest_first():
    everything, one, nothing = (drawn(DrawingStyle(max_boxes=n)) for n in (None, 1, 0))
    assert tuple(everything[60, 30]) == tuple(one[60, 30]) == colour_of(1)
    assert tuple(everything[110, 80]) == colour_of(2)
    assert tuple(one[110, 80]) == (90, 90, 90)
    assert (nothing == 90).all()


@pytest.mark.parametrize("thickness", [1, 4])
def test_lines_are_as_thick_as_asked(thickness: int):
    column = drawn(DrawingStyle(line_thickness=thickness))[30:61, 30]
    assert (column == colour_of(1)).all(axis=1).sum() == thickness


def test_pictures_keep_their_names(tmp_path: Path):
    with PictureFolder(tmp_path, LABELS, DrawingStyle()) as folder:
        for name in ("a.jpg", "sub/b.PNG", "c.gif"):
            folder.write(Frame(name, GREY), FOUND)
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    assert written == ["a.jpg", "c.gif.png", "sub/b.PNG"]
    assert tuple(np.asarray(Image.open(tmp_path / "sub/b.PNG"))[60, 30]) == colour_of(1)


def test_a_video_is_drawn_frame_by_frame(tmp_path: Path):
    pytest.importorskip("av")
    with DrawnVideo(tmp_path / "out.mp4", Fraction(10), LABELS, DrawingStyle(line_thickness=8)) as video:
        for number in range(5):
            video.write(Frame("clip.mp4", GREY, number=number, seconds=number / 10), FOUND)
    frames = [frame for frame in Video(tmp_path / "out.mp4", "out.mp4") if isinstance(frame, Frame)]
    assert [frame.seconds for frame in frames] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert np.abs(frames[3].image[56, 30].astype(int) - colour_of(1)).max() < 60
