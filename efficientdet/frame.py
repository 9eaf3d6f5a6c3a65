"""Pictures on their way through detection: single images and frames of a video, and those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One picture to detect in.

    file: its name, relative to the folder that was asked for; a video's or camera's for all of its frames. image:
    `[h, w, 3]` uint8 RGB. orientation: EXIF's, 1 to 8, which is not applied. number: of a video's frame, from 0.
    seconds: since the video's first frame. image_id: where somebody gave it one, as in examples.
    """

    file: str
    image: NDArray[np.uint8] = field(repr=False)
    orientation: int = 1
    number: int | None = None
    seconds: float | None = None
    image_id: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]


class BrokenFrame(NamedTuple):
    """What stands where a picture cannot be read: its names as in Frame, and a sentence."""

    file: str
    reason: str
    number: int | None = None
    seconds: float | None = None
    image_id: str | None = None


class FrameSource(Protocol):
    """Where pictures come from, one after the other, as often as it is iterated.

    total: how many there will be, where that is known. live: whether they come until somebody stops them.
    """

    @property
    def total(self) -> int | None: ...

    @property
    def live(self) -> bool: ...

    def __iter__(self) -> Iterator[Frame | BrokenFrame]: ...
