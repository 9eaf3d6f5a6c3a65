"""What a data set looks like: counts of its classes and sizes in fixed bins, small enough to travel with a model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from efficientdet.errors import DataError

FILE_NAME = "data_profile.json"
TAG = "data_profile"
"""Tag of a registered version: where in it the profile of its data lies."""
FORMAT = 1
"""Of the file; another one has other bins, which nothing can be compared with."""

# The lowest value of each bin; what lies below counts to the first.
_BOX_SIZE = {"small": 0.0, "medium": 32.0**2, "large": 96.0**2}
_BOX_AREA = {"0": 0.0} | {f"{2.0**k:.3g}": 2.0**k for k in range(-20, 0)}
_IMAGE_SIZE = {"0": 0.0} | {f"{2 ** (k / 2):.0f}": 2 ** (k / 2) for k in range(8, 29)}
_BOXES_PER_IMAGE = {str(n): float(n) for n in (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)}

Counts = Mapping[str, int]
"""A distribution: how many fell into each bin, named by its class or its lowest value; empty bins are left out."""


@dataclass(frozen=True)
class Profile:
    """The distributions of one split. Profiles add up, so that workers may each count a part.

    classes: boxes by class name. box_size: boxes by COCO's `small`, `medium` and `large` (of `area`, below 32² and
    96² pixels). box_area: boxes by their part of the image, in octaves. image_size: images by the root of their
    pixels, in half octaves. boxes_per_image: images by their number of boxes. Crowds count as one box.
    """

    classes: Counter[str] = field(default_factory=Counter)
    box_size: Counter[str] = field(default_factory=Counter)
    box_area: Counter[str] = field(default_factory=Counter)
    image_size: Counter[str] = field(default_factory=Counter)
    boxes_per_image: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Profile) -> Profile:
        return Profile(*(getattr(self, name) + getattr(other, name) for name in DISTRIBUTIONS))

    def to_dict(self) -> dict[str, dict[str, int]]:
        """JSON-ready, in an order that depends on the counts alone."""
        return {name: dict(sorted(getattr(self, name).items())) for name in DISTRIBUTIONS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Counts]) -> Profile:
        """The inverse of `to_dict`."""
        return cls(**{name: Counter({str(k): int(n) for k, n in values[name].items()}) for name in DISTRIBUTIONS})


DISTRIBUTIONS = tuple(Profile.__dataclass_fields__)
"""The names of a profile's distributions."""


def profile_example(serialised: bytes) -> Profile:
    """The profile of one record, whose image is not decoded; what a record lacks is not counted."""
    import tensorflow as tf  # not above: whoever reads a config gets this file, and few of them need TensorFlow

    features = tf.train.Example.FromString(serialised).features.feature
    sides = (features[f"image/object/bbox/{side}"].float_list.value for side in ("ymin", "xmin", "ymax", "xmax"))
    boxes_norm = np.array(list(zip(*sides, strict=False)), np.float64).reshape(-1, 4)
    heights, widths = (features[f"image/{side}"].int64_list.value for side in ("height", "width"))
    return Profile(
        classes=Counter(name.decode(errors="replace") for name in features["image/object/class/text"].bytes_list.value),
        box_size=_binned(features["image/object/area"].float_list.value, _BOX_SIZE),
        box_area=_binned(np.prod(boxes_norm[:, 2:] - boxes_norm[:, :2], axis=1), _BOX_AREA),
        image_size=_binned(np.sqrt([h * w for h, w in zip(heights, widths, strict=False)]), _IMAGE_SIZE),
        boxes_per_image=_binned([len(boxes_norm)], _BOXES_PER_IMAGE),
    )


def total(profiles: Iterable[Profile]) -> Profile:
    """The sum of profiles."""
    return sum(profiles, Profile())


def to_json(splits: Mapping[str, Profile]) -> str:
    """The text of `data_profile.json`: `{"format": 1, "splits": {NAME: {DISTRIBUTION: {BIN: COUNT}}}}`."""
    entries = {split: profile.to_dict() for split, profile in splits.items()}
    return json.dumps({"format": FORMAT, "splits": entries}, ensure_ascii=False, indent=1) + "\n"


def load(path: str | Path) -> dict[str, Profile]:
    """The profiles per split in a `data_profile.json`; raises DataError when it is missing or of another format."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise DataError(f"{path}: has format {content['format']}, but this version reads format {FORMAT}")
        return {split: Profile.from_dict(values) for split, values in content["splits"].items()}
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); StatisticsGen writes it") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: is not a profile of a data set ({error})") from error


def _binned(values: ArrayLike, bins: Mapping[str, float]) -> Counter[str]:
    """How many values fall into each bin, by its name."""
    names, lowest = list(bins), list(bins.values())
    return Counter(names[i] for i in np.digitize(np.asarray(values, np.float64), lowest[1:]))
