"""The frames of a video file, of an address or of a camera, one in memory at a time, read by FFmpeg through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from efficientdet.camera import Camera
from efficientdet.data.image_file import MOST_PIXELS
from efficientdet.errors import DataError, EfficientDetError, reason
from efficientdet.frame import BrokenFrame, Frame
from efficientdet.frame_order import FrameOrder

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer

SUFFIXES = frozenset(
    {
        *(".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".h264", ".h265", ".hevc", ".ivf", ".m1v", ".m2ts"),
        *(".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut"),
        *(".ogm", ".ogv", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
    }
)
"""By which a file is known as a video among others; one by itself may have any."""
TEXT = "tty"
"""What FFmpeg calls a text file that it would show as a film of its letters."""
RATE = Fraction(25)
"""Frames per second where nothing says how many there are."""
TIMEOUT = 20.0
"""Seconds without an answer after which an address counts as dead."""
MISSING_SECONDS = 1.0
"""What a video may lack of its length; headers are not exact."""


def pyav() -> ModuleType:
    """The library; raises EfficientDetError where it is not installed."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise EfficientDetError(
            "PyAV is not installed, and videos and cameras need it; install the `video` extra: pip install '.[video]'"
        ) from error
    return av


class Video:
    """The frames in the order they are shown, upright as the video's rotation says.

    A frame that cannot be decoded comes as a BrokenFrame, in its place; so does the missing end of a video that was
    cut off. It can be iterated once.

    file: what its frames are called. path: of a file, else None. total: how many there should be, None when the video
    does not say. live: whether it is a camera or a stream without an end. rate: frames per second.
    """

    def __init__(self, place: str | Path | Camera, name: str) -> None:
        """Opens a file, an address that FFmpeg knows, or a camera; raises DataError when that cannot be done."""
        self.file, self._av = name, pyav()
        self.path = place if isinstance(place, Path) else None
        self._container = _opened(self._av, place, name)
        if self._container.format.name == TEXT:
            raise DataError(f"{name}: is a text, no video; give a video")
        streams = self._container.streams.video
        if not streams:
            raise DataError(f"{name}: holds no video, only other streams; give a video")
        self._stream = streams[0]
        self.rate = self._stream.average_rate or self._stream.guessed_rate or RATE
        self._length = self._seconds()
        self.live = isinstance(place, Camera) or ("://" in str(place) and self._length is None)
        self.total = None if self.live else self._stream.frames or (round((self._length or 0) * self.rate) or None)

    def __iter__(self) -> Iterator[Frame | BrokenFrame]:
        with self._container:
            start, seconds, number = None, 0.0, 0
            for time, content in self._contents():
                start = time if start is None else start
                seconds = number / float(self.rate) if time is None or start is None else round(float(time - start), 6)
                if isinstance(content, str):
                    yield BrokenFrame(self.file, content, number, seconds)
                else:
                    yield Frame(self.file, content, number=number, seconds=seconds)
                number += 1
            if self._length and not self.live and self._length - seconds > MISSING_SECONDS + 1 / self.rate:
                said = f"the video ends after {seconds:.1f} of {float(self._length):.1f} seconds; get the whole file"
                yield BrokenFrame(self.file, said, number, seconds)

    def _contents(self) -> Iterator[tuple[Fraction | None, NDArray[np.uint8] | str]]:
        """Each frame in the order of their times, or what is wrong with it."""
        order = FrameOrder[Any]()
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    order.send(_time(packet))
                for frame in self._decoded(packet, order):
                    time = _time(frame)
                    if time is None:
                        yield None, _pixels(frame)
                    else:
                        order.answer(time, bool(frame.key_frame), frame)
                yield from ((time, _pixels(frame)) for time, frame in order.ready())
        except self._av.error.FFmpegError as error:
            order.refuse(None, f"the video cannot be read any further ({_said(error)})")
        yield from ((time, _pixels(frame)) for time, frame in order.ready(end=True))

    def _decoded(self, packet: Packet, order: FrameOrder[Any]) -> list[Any]:
        """The frames that the decoder answers to a packet."""
        try:
            return list(packet.decode())
        except self._av.error.EOFError:
            return []
        except self._av.error.FFmpegError as error:
            order.refuse(_time(packet), f"the frame cannot be decoded ({_said(error)})")
            return []

    def _seconds(self) -> Fraction | None:
        """How long it should be, if it says so; a container's length may be that of another stream."""
        if self._stream.duration and self._stream.time_base:
            return Fraction(self._stream.duration * self._stream.time_base)
        if self._container.duration and len(self._container.streams) == 1:
            return Fraction(self._container.duration, self._av.time_base)
        return None


def _opened(av: ModuleType, place: str | Path | Camera, name: str) -> InputContainer:
    av.logging.set_level(av.logging.PANIC)  # what it would print are the damages that are counted here
    try:
        if isinstance(place, Camera):
            return av.open(place.place, format=place.device, options=dict(place.options))
        return av.open(str(place), timeout=TIMEOUT if "://" in str(place) else None)
    except (av.error.FFmpegError, ValueError) as error:
        if isinstance(place, Camera):
            raise DataError(
                f"{name}: the camera cannot be opened ({place.device} on {place.place}: {_said(error)}); connect it,"
                " close what else uses it, or name another"
            ) from error
        missing = isinstance(error, FileNotFoundError)
        remedy = "give a video that is there" if missing else "give a whole file in a format of FFmpeg's"
        raise DataError(f"{name}: no video can be read there ({_said(error)}); {remedy}") from error


def _pixels(frame: Any) -> NDArray[np.uint8] | str:
    """The picture `[h, w, 3]` uint8 RGB, upright, or what is wrong with it."""
    if isinstance(frame, str):
        return frame
    if frame.width * frame.height > MOST_PIXELS:
        return f"the frame has {frame.width}x{frame.height} pixels, above {MOST_PIXELS}"
    if frame.is_corrupt:
        return "the frame is damaged, says its decoder"
    return np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))


def _time(timed: Any) -> Fraction | None:
    """When a packet or frame is shown, in seconds."""
    return None if timed.pts is None or timed.time_base is None else timed.pts * timed.time_base


def _said(error: Exception) -> str:
    """FFmpeg's own words, without the call that failed."""
    return getattr(error, "strerror", None) or reason(error)
