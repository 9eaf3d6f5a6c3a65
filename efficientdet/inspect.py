"""The verb `inspect`: examples drawn as the network sees them, in training or in evaluation."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from efficientdet.anchors import Targets, anchors_for
from efficientdet.atomic_file import write_file
from efficientdet.config import Config
from efficientdet.data.example import parse_example
from efficientdet.data.input_pipeline import decode_image, shuffled_records, training_records, training_scene
from efficientdet.errors import DataError
from efficientdet.label_map import LabelMap
from efficientdet.letterbox import letterbox
from efficientdet.visualize import draw

INDEX_FILE = "samples.json"


@dataclass(frozen=True)
class Sample:
    """What the network is shown of one example.

    image_id: of a mosaic or mixup the first one's. image: `[H, W, 3]` uint8. boxes: `[n, 4]` float32 yxyx pixels of
    it; classes `[n]` int32; is_crowd `[n]` bool. anchors: level to the number of anchors that learn a box; none
    in evaluation.
    """

    image_id: str
    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int32]
    is_crowd: NDArray[np.bool_]
    anchors: dict[int, int] | None = None


def inspect(
    pattern: str | Sequence[str], config: Config, label_map: LabelMap, output: Path, samples: int, augmented: bool
) -> int:
    """Draws examples and lists them in `samples.json`.

    Args:
      pattern: of the shards.
      config: its input size, and with `augmented` its augmentation; its seed decides which examples.
      label_map: names the classes.
      output: folder; pictures of an earlier call are replaced, none is ever half written.
      samples: how many pictures; without `augmented` no more than there are examples.
      augmented: as in training, else as in evaluation.

    Returns:
      How many were drawn.

    Raises:
      DataError: there is no example.
    """
    output.mkdir(parents=True, exist_ok=True)
    index: list[dict[str, Any]] = []
    for sample in (_of_training if augmented else _of_evaluation)(pattern, config, samples):
        names = [_name(label_map, *row) for row in zip(sample.classes, sample.is_crowd, strict=True)]
        file = f"{len(index):04}.png"
        picture = io.BytesIO()
        draw(sample.image, sample.boxes, names, classes=sample.classes).save(picture, "PNG")
        write_file(output / file, picture.getvalue())
        index.append(_entry(file, sample, names))
    if not index:
        raise DataError(f"{pattern}: the shards hold no examples; generate them again")
    rows = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in index)
    write_file(output / INDEX_FILE, f"[\n{rows}\n]\n")
    return len(index)


def _of_training(pattern: str | Sequence[str], config: Config, samples: int) -> Iterator[Sample]:
    anchors = anchors_for(config)
    for position, records in training_records(pattern, config, 0).take(samples):
        scene = training_scene(records, config, position)
        targets = anchors.assign(scene.boxes, scene.classes, config.compat)
        image_id = parse_example(tf.reshape(records, [-1])[0])["source_id"]
        boxes, classes = scene.boxes.numpy(), scene.classes.numpy()
        learnt = _positives(targets, config.model.architecture.min_level)
        yield Sample(_text(image_id), _pixels(scene.image), boxes, classes, np.zeros(len(boxes), bool), learnt)


def _of_evaluation(pattern: str | Sequence[str], config: Config, samples: int) -> Iterator[Sample]:
    for record in shuffled_records(pattern, config).take(samples):
        parsed = parse_example(record)
        decoded = decode_image(parsed["image_bytes"])
        image, scale = letterbox(decoded, config.model.input_size, config.model.architecture.mean)
        boxes, classes, is_crowd = (parsed[key].numpy() for key in ("boxes", "classes", "is_crowd"))
        yield Sample(_text(parsed["source_id"]), _pixels(image), boxes * scale.numpy(), classes, is_crowd)


def _positives(targets: Targets, min_level: int) -> dict[int, int]:
    """Anchors with a class, by level."""
    return {level: int(np.sum(classes.numpy() >= 0)) for level, classes in enumerate(targets.classes, min_level)}


def _pixels(image: tf.Tensor) -> NDArray[np.uint8]:
    return np.rint(image.numpy()).astype(np.uint8)


def _text(value: tf.Tensor) -> str:
    return str(value.numpy().decode(errors="replace"))


def _name(label_map: LabelMap, class_id: int, is_crowd: bool) -> str:
    """Also of ids that training ignores or cannot learn: showing them is what this verb is for."""
    known = 1 <= class_id <= len(label_map)
    name = label_map[int(class_id)].name if known else f"class {class_id} (not in the label map)"
    return f"{name} (crowd)" if is_crowd else name


def _entry(file: str, sample: Sample, names: Sequence[str]) -> dict[str, Any]:
    """One element of samples.json; boxes are yxyx pixels of the picture."""
    entry: dict[str, Any] = {"file": file, "image_id": sample.image_id, "boxes": sample.boxes.tolist()}
    entry |= {"classes": list(names), "class_ids": sample.classes.tolist(), "crowd": sample.is_crowd.tolist()}
    return entry if sample.anchors is None else entry | {"anchors": sample.anchors}
