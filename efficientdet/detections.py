"""What every detector of this product answers, whatever file or runtime it ran in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from efficientdet.label_map import LabelMap

Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]
"""One image: boxes `[n, 4]` yxyx pixels, scores `[n]` falling, classes `[n]` from 1."""


@dataclass(frozen=True)
class Detections:
    """Detections of a batch of b images, m slots each, sorted by falling score.

    boxes `[b, m, 4]` float32 yxyx in pixels of the original image; scores `[b, m]` float32 in 0..1;
    classes `[b, m]` int32 contiguous ids from 1; count `[b]` int32. Slots from `count` on are zero.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int32]
    count: NDArray[np.int32]

    @classmethod
    def of(cls, found: Iterable[Found], slots: int = 0) -> Detections:
        """The batch of images with these detections; m is `slots`, or the most of one image where that is more."""
        images = list(found)
        slots = max([slots, *(len(scores) for _, scores, _ in images)])
        boxes = np.zeros((len(images), slots, 4), np.float32)
        scores = np.zeros((len(images), slots), np.float32)
        classes = np.zeros((len(images), slots), np.int32)
        for i, image in enumerate(images):
            n = len(image[1])
            boxes[i, :n], scores[i, :n], classes[i, :n] = image
        return cls(boxes, scores, classes, np.array([len(image[1]) for image in images], np.int32))

    def __len__(self) -> int:
        return len(self.count)

    def __iter__(self) -> Iterator[Found]:
        """Per image: the valid boxes `[n, 4]`, scores `[n]` and classes `[n]`."""
        for i, n in enumerate(self.count):
            yield self.boxes[i, :n], self.scores[i, :n], self.classes[i, :n]

    def above(self, score: float) -> Detections:
        """The detections scoring at least `score` (they are sorted, so only the counts shrink)."""
        valid = np.arange(self.scores.shape[1]) < self.count[:, None]
        kept = valid & (self.scores >= score)
        return Detections(
            self.boxes * kept[..., None], self.scores * kept, self.classes * kept, kept.sum(axis=1, dtype=np.int32)
        )


def to_records(detections: Detections, label_map: LabelMap) -> list[list[dict[str, object]]]:
    """Per image the records of `image_records`."""
    return [image_records(found, label_map) for found in detections]


def image_records(found: Found, label_map: LabelMap) -> list[dict[str, object]]:
    """JSON-ready records of one image: class name, contiguous and category id, score, corners in pixels."""
    return [
        {
            "class": label_map[int(c)].name,
            "class_id": int(c),
            "category_id": label_map[int(c)].category_id,
            "score": round(float(s), 6),
            "box": {k: round(float(v), 2) for k, v in zip(("ymin", "xmin", "ymax", "xmax"), box, strict=True)},
        }
        for box, s, c in zip(*found, strict=True)
    ]
