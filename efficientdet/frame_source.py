"""What a user names to detect in: images, a video, an address or a camera."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from efficientdet.camera import camera_of
from efficientdet.errors import DataError, EfficientDetError
from efficientdet.image_source import ONE_VIDEO, ImageFiles, find_files, is_image, is_video
from efficientdet.video import Video


def open_source(place: str, leave_out: Sequence[Path] = ()) -> ImageFiles | Video:
    """The pictures of `place`.

    That is an image, a folder of images, a pattern of them, a video, an address (rtsp://, http://) or a camera
    (`camera:0`, `/dev/video0`). A file that is no image by name or content is opened as a video, whatever its name; a
    folder or pattern may lead to a video when that is the only one. Files in the folders `leave_out` are none of them.
    Raises DataError when there is nothing to read, or videos alone, but several.
    """
    if camera := camera_of(place):
        return Video(camera, place)
    if "://" in place:
        return Video(place, place)
    _, files = find_files(place, leave_out)
    if len(files) == 1 and not is_image(files[0]):
        return _video(files[0])
    if all(is_video(file) for file in files):
        names = ", ".join(file.name for file in files[:3])
        raise DataError(f"{place}: leads to {len(files)} videos, as {names}; {ONE_VIDEO}, so name one after the other")
    return ImageFiles(place, leave_out)


def _video(path: Path) -> Video:
    """The video in a file; of one that is not called so the error leaves open what it should have been."""
    try:
        return Video(path, path.name)
    except EfficientDetError as error:
        if is_video(path):
            raise
        raise DataError(f"{path}: is no image in a known format, and as a video: {error}") from error
