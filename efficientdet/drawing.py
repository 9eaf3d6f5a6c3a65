"""What was found, drawn: a picture for each image, or a video for a video."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from efficientdet.atomic_file import atomic_file
from efficientdet.detections import Found
from efficientdet.frame import Frame
from efficientdet.label_map import LabelMap
from efficientdet.video_file import VideoFile
from efficientdet.visualize import draw

KEPT_SUFFIXES = (".jpg", ".jpeg", ".png")
"""Of images whose drawing has the same name; others get .png behind it."""


@dataclass(frozen=True)
class DrawingStyle:
    """max_boxes: drawn in one picture, the strongest. line_thickness: of boxes in pixels; None: by the image's size."""

    max_boxes: int | None = None
    line_thickness: int | None = None

    def draw(self, frame: Frame, found: Found, label_map: LabelMap) -> Image.Image:
        """A copy of the picture with boxes and names."""
        boxes, scores, classes = found
        most = slice(self.max_boxes)
        names = [label_map[int(c)].name for c in classes[most]]
        return draw(frame.image, boxes[most], names, scores[most], classes[most], self.line_thickness)


class PictureFolder:
    """Context manager that draws each image into a file of its name below a folder."""

    def __init__(self, folder: Path, label_map: LabelMap, style: DrawingStyle) -> None:
        self.path, self._label_map, self._style = folder, label_map, style

    def write(self, frame: Frame, found: Found) -> None:
        """Draws one; the file appears complete or not at all."""
        kept = frame.file.lower().endswith(KEPT_SUFFIXES)
        target = self.path / (frame.file if kept else f"{frame.file}.png")
        kind = "PNG" if target.suffix.lower() == ".png" else "JPEG"
        with atomic_file(target) as aside:
            self._style.draw(frame, found, self._label_map).save(aside, kind, quality=95)

    def __enter__(self) -> PictureFolder:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class DrawnVideo:
    """Context manager that draws each frame into a video."""

    def __init__(self, path: Path, rate: Fraction, label_map: LabelMap, style: DrawingStyle) -> None:
        self.path, self._label_map, self._style = path, label_map, style
        self._video = VideoFile(path, rate)

    def write(self, frame: Frame, found: Found) -> None:
        """Draws one, shown at its time."""
        self._video.write(np.asarray(self._style.draw(frame, found, self._label_map)), frame.seconds or 0.0)

    def __enter__(self) -> DrawnVideo:
        self._video.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._video.__exit__(kind, *rest)
