"""What a user names to detect in: images, a video, an address or a camera."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from efficientdet import image_source, video
from efficientdet.camera import camera_of
from efficientdet.image_source import ImageFiles
from efficientdet.video import Video


def open_source(place: str, leave_out: Sequence[Path] = ()) -> ImageFiles | Video:
    """The pictures of `place`.

    That is an image, a folder of images, a pattern of them, a video file, an address (rtsp://, http://) or a camera
    (`camera:0`, `/dev/video0`). Images in the folders `leave_out` are none of them. Raises DataError when there is
    nothing to read.
    """
    if camera := camera_of(place):
        return Video(camera, place)
    if "://" in place:
        return Video(place, place)
    path = Path(place)
    if path.suffix.lower() in video.SUFFIXES and not path.is_dir() and not image_source.is_pattern(place):
        return Video(path, path.name)
    return ImageFiles(place, leave_out)
