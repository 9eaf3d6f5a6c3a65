"""What is written is a video of the pictures, at their times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from efficientdet.frame import Frame
from efficientdet.video import Video
from efficientdet.video_file import VideoFile

pytest.importorskip("av")


def frames_of(path: Path) -> list[Frame]:
    return [frame for frame in Video(path, path.name) if isinstance(frame, Frame)]


def test_pictures_come_back_at_their_times(tmp_path: Path):
    times = [0.0, 0.1, 0.2, 0.9, 1.0, 1.0]  # a gap, and two at once
    with VideoFile(tmp_path / "out.mp4", Fraction(10)) as video:
        for i, seconds in enumerate(times):
            video.write(np.full((47, 63, 3), 40 * i, np.uint8), seconds)
        assert not (tmp_path / "out.mp4").exists(), "it is written aside"
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    found = frames_of(tmp_path / "out.mp4")
    assert [frame.size for frame in found] == [(48, 64)] * 6, "sides are even"
    np.testing.assert_allclose([frame.seconds for frame in found], times, atol=0.001)
    for i, frame in enumerate(found):
        assert abs(float(frame.image.mean()) - 40 * i) < 6


def test_a_picture_of_another_size_is_fitted(tmp_path: Path):
    with VideoFile(tmp_path / "out.mp4", Fraction(10)) as video:
        video.write(np.zeros((48, 64, 3), np.uint8), 0.0)
        video.write(np.full((96, 128, 3), 200, np.uint8), 0.1)
    assert [frame.size for frame in frames_of(tmp_path / "out.mp4")] == [(48, 64)] * 2


def test_nothing_is_left_of_a_failure(tmp_path: Path):
    with VideoFile(tmp_path / "empty.mp4", Fraction(10)):
        pass
    with pytest.raises(ValueError, match="array shape"):
        _write(tmp_path / "out.mp4", channels=(3, 5))
    assert not list(tmp_path.iterdir())


def _write(path: Path, channels: tuple[int, ...]) -> None:
    with VideoFile(path, Fraction(10)) as video:
        for count in channels:
            video.write(np.zeros((48, 64, count), np.uint8), 0.0)
