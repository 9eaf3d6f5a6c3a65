"""A video of pictures with their times, H.264 in MP4, as players and browsers take it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from efficientdet.video import pyav

TICKS = 90_000
"""Of a second, in which the time of a frame is written."""
# The first that the library was built with.
CODECS = (("libx264", {"crf": "23", "preset": "veryfast"}), ("mpeg4", {"qscale": "3"}))


class VideoFile:
    """Context manager that writes an MP4, aside until it is whole; without a picture there is no file."""

    def __init__(self, path: str | Path, rate: Fraction) -> None:
        self.path, self._rate, self._av = Path(path), rate, pyav()
        self._aside = self.path.with_name(f".{self.path.name}-{uuid4().hex}")
        self._container: Any = None
        self._last = -1

    def write(self, image: NDArray[np.uint8], seconds: float) -> None:
        """Adds the picture `[h, w, 3]` uint8 RGB, shown from that time on; the first decides on the video's size."""
        if self._container is None:
            self._open(*image.shape[:2])
        # The codec halves the sides of its colours, so they are even; the last row and column are repeated for it.
        height, width = image.shape[:2]
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame = frame.reformat(self._stream.width, self._stream.height, "yuv420p")
        self._last = max(self._last + 1, round(seconds * TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._container.mux(self._stream.encode(frame))

    def _open(self, height: int, width: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._container = self._av.open(str(self._aside), "w", format="mp4")
        codec, options = next(entry for entry in CODECS if entry[0] in self._av.codecs_available)
        self._stream = self._container.add_stream(codec, rate=self._rate, options=options)
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, TICKS)

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._container is None:
            return
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if kind is None:
                self._aside.replace(self.path)
        finally:
            self._aside.unlink(missing_ok=True)
