"""Cameras are named as people name them, and become what FFmpeg opens.

No camera is here: `test_video.py` reads from another of FFmpeg's devices in its place.
"""

from __future__ import annotations

import pytest

from efficientdet.camera import Camera, camera_of
from efficientdet.errors import DataError


@pytest.mark.parametrize(
    ("text", "system", "camera"),
    [
        ("camera:0", "linux", Camera("v4l2", "/dev/video0", {})),
        ("camera:/dev/v4l/by-id/usb-cam", "linux", Camera("v4l2", "/dev/v4l/by-id/usb-cam", {})),
        ("/dev/video2", "linux", Camera("v4l2", "/dev/video2", {})),
        ("camera:1", "darwin", Camera("avfoundation", "1:none", {})),
        ("camera:HD Webcam", "win32", Camera("dshow", "video=HD Webcam", {})),
        (
            "camera:0?video_size=640x480&framerate=15",
            "linux",
            Camera("v4l2", "/dev/video0", {"video_size": "640x480", "framerate": "15"}),
        ),
        ("photos/camera:0", "linux", None),
        ("clip.mp4", "linux", None),
        ("rtsp://camera/stream", "linux", None),
    ],
)
def test_names_of_cameras(text: str, system: str, camera: Camera | None):
    assert camera_of(text, system) == camera


@pytest.mark.parametrize("text", ["camera:", "camera:?framerate=3", "camera:0?framerate", "camera:0?framerate="])
def test_what_is_no_camera_is_a_sentence(text: str):
    with pytest.raises(DataError, match=r"is no camera; write camera:0, or camera:0\?video_size=1280x720"):
        camera_of(text, "linux")


def test_systems_without_cameras():
    with pytest.raises(DataError, match="cameras are not known on aix"):
        camera_of("camera:0", "aix")
