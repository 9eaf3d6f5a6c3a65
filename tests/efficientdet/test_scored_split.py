from __future__ import annotations

import numpy as np

from efficientdet.coco_metric import Groundtruth
from efficientdet.scored_image import Found, ScoredImage
from efficientdet.scored_split import gather


def image(image_id: str, objects: int, **found: list[float]) -> ScoredImage:
    truth = Groundtruth(np.full((objects, 4), float(objects)), [objects] * objects, [False] * objects, [1.0] * objects)
    detections = {
        name.replace("_", "/"): Found(np.ones((len(s), 4)), np.ones(len(s), np.int32), np.array(s))
        for name, s in found.items()
    }
    return ScoredImage(image_id, 10, 20, truth, detections)


def test_images_stand_in_cocos_order() -> None:
    split = gather([image("b", 1), image("10", 2), image("9", 3), image("a", 0)])
    assert split.image_ids == ["9", "10", "a", "b"]
    assert split.truths.classes.tolist() == [3, 3, 3, 2, 2, 1]
    assert split.truths.image.tolist() == [0, 0, 0, 1, 1, 3]
    assert split.starts(split.truths.image).tolist() == [0, 3, 5, 5, 6]
    assert split.sizes.tolist() == [[10, 20]] * 4


def test_float_comes_first_and_champions_last() -> None:
    names = ["champion_float", "int8", "champion_int8", "float16", "float"]
    split = gather([image("1", 1, **{name: [0.5] for name in names})])
    assert list(split.contenders) == ["float", "float16", "int8", "champion/float", "champion/int8"]


def test_a_contender_that_an_image_does_not_name_found_nothing() -> None:
    split = gather([image("1", 0, float=[0.9, 0.5]), image("2", 0), image("3", 0, float=[0.7])])
    assert split.contenders["float"].image.tolist() == [0, 0, 2]
    assert split.contenders["float"].scores.tolist() == [0.9, 0.5, 0.7]


def test_no_images_and_scores_that_are_no_numbers() -> None:
    nothing = gather([])
    assert len(nothing) == 0
    assert nothing.contenders == {}
    assert nothing.truths.boxes_xywh.shape == (0, 4)
    assert gather([image("1", 0, float=[float("nan")])]).contenders["float"].scores.tolist() == [0]
