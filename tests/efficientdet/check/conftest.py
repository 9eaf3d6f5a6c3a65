"""A small COCO data set to plant problems in, and its check."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from efficientdet.check.inspection import check_splits
from efficientdet.check.report import Report
from efficientdet.check.split import coco_splits
from efficientdet.config import Config

HEIGHT, WIDTH = 96, 128


def picture(seed: int) -> Image.Image:
    """Patches of colour, others for each seed."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(patches).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


class CocoData:
    """Splits of a COCO data set in a folder: `train` of twelve images, one box of each of two classes, and `val`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.splits: dict[str, dict[str, Any]] = {}
        for split, images in {"train": range(12), "val": range(12, 15)}.items():
            (root / split).mkdir(parents=True)
            self.splits[split] = {
                "info": {"description": "made up"},
                "licenses": [{"id": 1}],
                "images": [
                    {"id": i + 1, "file_name": f"{i + 1}.png", "height": HEIGHT, "width": WIDTH, "licence": 1}
                    for i in images
                ],
                "annotations": [
                    self.annotation(2 * i + c, i + 1, c, [4 + i, 30 * c - 20, 40, 40]) for i in images for c in (1, 2)
                ],
                "categories": [{"id": 1, "name": "cat", "supercategory": "pet"}, {"id": 2, "name": "dog"}],
            }
            for i in images:
                picture(i).save(root / split / f"{i + 1}.png")

    @staticmethod
    def annotation(number: int, image: int, category: int, bbox: list[float], **more: Any) -> dict[str, Any]:
        fields = {"id": number, "image_id": image, "category_id": category, "bbox": bbox}
        return fields | {"area": bbox[2] * bbox[3], "iscrowd": 0, "attributes": {"by": "hand"}} | more

    def file(self, split: str) -> Path:
        """The annotation file, as the content is now."""
        path = self.root / f"{split}.json"
        path.write_text(json.dumps(self.splits[split]))
        return path

    def check(self, *splits: str, **options: Any) -> Report:
        """The report about some splits, all of them unless named."""
        pairs = [(self.file(split), self.root / split) for split in splits or self.splits]
        return check_splits(coco_splits(pairs), Config(), **options)


@pytest.fixture
def data(tmp_path: Path) -> CocoData:
    """Without any problem."""
    return CocoData(tmp_path / "data")


@pytest.fixture(scope="session")
def codes() -> Callable[[Report], dict[str, int]]:
    """How many findings of each code a report has."""
    return lambda report: {code: case.counts.total() for code, case in sorted(report.cases.items())}


@pytest.fixture(scope="session")
def paint() -> Callable[[int], Image.Image]:
    """The function `picture`."""
    return picture
