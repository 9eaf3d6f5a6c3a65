"""Cameras by name: `camera:0`, `camera:0?video_size=1280x720&framerate=30`, `/dev/video0`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from efficientdet.errors import DataError

PREFIX = "camera:"
# FFmpeg's device by system, and what it calls the camera of a number or a name.
_DEVICES = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}:none"), "win32": ("dshow", "video={}")}


class Camera(NamedTuple):
    """What FFmpeg opens: its device, what it calls the camera, and the device's options."""

    device: str
    place: str
    options: Mapping[str, str]


def camera_of(text: str, system: str = sys.platform) -> Camera | None:
    """The camera that a text names, or None when it names something else.

    Options are those of FFmpeg's device: video_size, framerate, input_format and others. Raises DataError for a camera
    that no system could have.
    """
    if text.startswith("/dev/video"):
        return Camera("v4l2", text, {})
    if not text.startswith(PREFIX):
        return None
    name, _, query = text.removeprefix(PREFIX).partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if not name or len(options) != len([part for part in query.split("&") if part]) or not all(options.values()):
        raise DataError(f"{text}: is no camera; write camera:0, or camera:0?video_size=1280x720&framerate=30")
    if system not in _DEVICES:
        raise DataError(f"{text}: cameras are not known on {system}; use Linux, macOS or Windows, or a video file")
    device, place = _DEVICES[system]
    return Camera(device, name if name.startswith("/") else place.format(name), options)
