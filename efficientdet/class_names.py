"""The classes that a checkpoint of someone else predicts, logit by logit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from efficientdet.errors import ConfigError

# The ids of COCO's annotation files (instances_val2017.json): 80 classes on ids 1 to 90, `-` where one is missing.
_COCO = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, -, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, -, backpack, umbrella, -, -,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, -, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, -, dining table, -, -, toilet, -, tv,
laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, -, book, clock, vase,
scissors, teddy bear, hair drier, toothbrush
"""
# In alphabetical order, as the development kit of PASCAL VOC lists them.
_VOC = """
aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, motorbike, person,
pottedplant, sheep, sofa, train, tvmonitor
"""
_WAYMO = "vehicle, pedestrian, cyclist"  # the ids google/automl gives them, not those of the Waymo Open Dataset


def _table(text: str) -> tuple[str | None, ...]:
    names = [name.strip() for name in text.split(",")]
    return tuple(None if name == "-" else name for name in names)


KNOWN = {"coco": _table(_COCO), "voc": _table(_VOC), "waymo": _table(_WAYMO)}


def named_classes(value: str | Path | Mapping[Any, Any]) -> tuple[str | None, ...]:
    """The class names of a checkpoint in the order of its logits.

    Args:
      value: `coco`, `voc` or `waymo`; or class id to name, with ids from 1 that may have gaps; or the path of a
        YAML or JSON file that holds such a mapping, a list of names, or a label map (`label_map.json`).

    Returns:
      One entry per logit, that of class id 1 first; None for an id without a class.

    Raises:
      ConfigError: the file is not there or holds something else.
    """
    if isinstance(value, Mapping):
        return _by_id(value, "label map")
    return KNOWN[str(value)] if str(value) in KNOWN else _from_file(Path(value))


def _from_file(path: Path) -> tuple[str | None, ...]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
    except OSError as error:
        raise ConfigError(f"{path}: neither a label map file nor one of {', '.join(KNOWN)}; check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: neither YAML nor JSON; write class ids and names, as in `1: cat`") from error
    if isinstance(content, list) and all(
        isinstance(entry, dict) and {"id", "name"} <= entry.keys() for entry in content
    ):
        content = {entry["id"]: entry["name"] for entry in content}
    elif isinstance(content, list) and all(isinstance(entry, str) for entry in content):
        content = dict(enumerate(content, start=1))
    return _by_id(content, str(path))


def _by_id(names: Any, where: str) -> tuple[str | None, ...]:
    try:
        by_id = {int(class_id): str(name) for class_id, name in names.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{where}: class ids and names are needed, as in `1: cat`") from error
    if not by_id or min(by_id) < 1 or max(by_id) > 100_000:
        raise ConfigError(f"{where}: class ids count from 1, as 0 is the background; found {sorted(by_id)[:3]}")
    return tuple(by_id.get(class_id) for class_id in range(1, max(by_id) + 1))
