"""Frames of videos come in order with their times; damage is named and ends nothing."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from efficientdet.camera import Camera
from efficientdet.errors import DataError
from efficientdet.frame import BrokenFrame, Frame
from efficientdet.frame_source import open_source
from efficientdet.video import Video
from tests.efficientdet.make_video import damage_frames, make_video

pytest.importorskip("av")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames of 64x48, ten a second."""
    return make_video(tmp_path_factory.mktemp("video") / "clip.mp4", 60)


def read(path: Path) -> tuple[list[Frame], list[BrokenFrame]]:
    frames = list(Video(path, path.name))
    numbers = [frame.number for frame in frames]
    assert numbers == list(range(len(frames))), "every frame has its place"
    whole = [frame for frame in frames if isinstance(frame, Frame)]
    return whole, [frame for frame in frames if isinstance(frame, BrokenFrame)]


def test_frames_in_order_with_their_times(clip: Path):
    video = Video(clip, "clip.mp4")
    assert (video.total, video.rate, video.live) == (60, Fraction(10), False)
    frames, broken = read(clip)
    assert not broken
    assert [frame.seconds for frame in frames] == [round(i / 10, 6) for i in range(60)]
    assert {frame.size for frame in frames} == {(48, 64)}
    for i in (0, 7, 31, 59):  # the square has moved a pixel per frame
        columns = np.flatnonzero(frames[i].image[12, :, 0] > 128)
        assert abs(int(columns[0]) - i % 48) <= 1


def test_broken_frames_stand_in_their_places(clip: Path, tmp_path: Path):
    times = damage_frames(clip, tmp_path / "damaged.mp4", 15, 16)
    frames, broken = read(tmp_path / "damaged.mp4")
    assert len(frames) == 58
    assert [frame.seconds for frame in broken] == sorted(times)
    assert [frame.number for frame in broken] == [round(10 * time) for time in sorted(times)]
    assert [frame.seconds for frame in frames] == [i / 10 for i in range(60) if i / 10 not in times]
    assert {frame.reason for frame in broken} == {
        "the frame cannot be decoded (Invalid data found when processing input)"
    }
    assert {frame.file for frame in broken} == {"damaged.mp4"}


def test_what_is_left_out_after_a_damaged_key_frame_is_counted(clip: Path, tmp_path: Path):
    [time] = damage_frames(clip, tmp_path / "damaged.mp4", 40)
    frames, broken = read(tmp_path / "damaged.mp4")
    assert len(frames) + len(broken) == 60
    assert broken[0].seconds == time
    assert {frame.reason for frame in broken[1:]} == {"the frame builds on a damaged one and was left out"}
    assert frames[-1].seconds == 5.9, "from the next key frame on all is well"


def test_a_video_that_was_cut_off_is_noticed(tmp_path: Path):
    whole = make_video(tmp_path / "whole.mkv", 60)
    assert not read(whole)[1]
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    frames, [*_, broken] = read(cut)
    assert 5 < len(frames) < 50
    assert "of 6.0 seconds; get the whole file" in broken.reason


def test_a_video_is_turned_upright(clip: Path, tmp_path: Path):
    """As phones write it: a matrix in the track's header."""
    data = bytearray(clip.read_bytes())
    one = (1 << 16).to_bytes(4, "big")
    place = data.index(b"tkhd") + 44
    assert data[place : place + 4] == one
    minus = (-(1 << 16)).to_bytes(4, "big", signed=True)
    zero = bytes(4)
    data[place : place + 20] = zero + one + zero + minus + zero  # to be shown turned clockwise by 90 degrees
    (tmp_path / "turned.mp4").write_bytes(data)
    frames, _ = read(tmp_path / "turned.mp4")
    stored, _ = read(clip)
    np.testing.assert_array_equal(frames[5].image, np.rot90(stored[5].image, -1))


def test_what_is_no_video_is_a_sentence(clip: Path, tmp_path: Path):
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:500])
    for name, says in (
        ("none.mp4", r"none\.mp4: there is no such file or folder; correct the path"),
        ("text.mp4", r"text\.mp4: no video can be read there \(Invalid data .*\); give a whole file"),
        ("cut.mp4", r"cut\.mp4: no video can be read there"),
    ):
        with pytest.raises(DataError, match=says):
            open_source(str(tmp_path / name))


def test_a_device_is_read_until_somebody_stops():
    """FFmpeg's picture generator, in the place of a camera: only the device is another."""
    video = Video(Camera("lavfi", "testsrc=size=64x48:rate=10", {}), "camera:0")
    assert video.live
    assert video.total is None
    frames = iter(video)
    some = [next(frames) for _ in range(5)]
    assert [frame.number for frame in some] == [0, 1, 2, 3, 4]
    assert {frame.size for frame in some if isinstance(frame, Frame)} == {(48, 64)}
    assert {frame.file for frame in some} == {"camera:0"}


def test_a_camera_that_is_not_there_is_a_sentence():
    says = r"camera:73: the camera cannot be opened \(v4l2 on /dev/video73: No such file or directory\); connect it"
    with pytest.raises(DataError, match=says):
        open_source("camera:73")
    with pytest.raises(DataError, match=r"the camera cannot be opened \(v4l2 on /dev/null: "):
        Video(Camera("v4l2", "/dev/null", {"video_size": "640x480"}), "camera:null")


def test_an_address_that_is_dead_is_a_sentence():
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:1/x: no video can be read there \("):
        open_source("http://127.0.0.1:1/x")


def test_without_pyav_the_remedy_is_named(clip: Path):
    program = (
        "import sys; sys.modules['av'] = None; from efficientdet.frame_source import open_source; "
        "from efficientdet.errors import EfficientDetError\n"
        f"try: open_source({str(clip)!r})\n"
        "except EfficientDetError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.stdout == (
        "PyAV is not installed, and videos and cameras need it; install the `video` extra: pip install '.[video]'\n"
    ), done.stderr
