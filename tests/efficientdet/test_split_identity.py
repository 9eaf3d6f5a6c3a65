"""Equal for the same images and annotations, however they are stored; another for any change of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.coco_metric import Groundtruth
from efficientdet.label_map import LabelMap
from efficientdet.scored_image import ScoredImage
from efficientdet.split_identity import split_change, split_identity

LABELS = LabelMap.from_names(["cat", "dog"])


def image(name: str = "1", boxes: object = ((1, 2, 3, 4), (5, 6, 7, 8)), classes: object = (1, 2)) -> ScoredImage:
    crowd = np.zeros(len(classes), bool)
    truth = Groundtruth(np.array(boxes, float), np.array(classes), crowd, np.array([12.0, 56.0][: len(classes)]))
    return ScoredImage(name, 20, 30, truth, {})


SPLIT = [image("1"), image("2", [(0, 0, 9, 9)], [2]), image("é", np.zeros((0, 4)), [])]


@given(st.permutations(SPLIT))
def test_the_order_of_images_and_annotations_does_not_count(images: list[ScoredImage]) -> None:
    first = images.index(next(i for i in images if i.image_id == "1"))
    swapped = image("1", ((5, 6, 7, 8), (1, 2, 3, 4)), (2, 1))
    swapped = replace(swapped, truth=replace(swapped.truth, area=np.array([56.0, 12.0])))
    shuffled = [*images[:first], swapped, *images[first + 1 :]]
    assert split_identity(shuffled, LABELS) == split_identity(SPLIT, LABELS)


@pytest.mark.parametrize(
    "changed",
    [
        [*SPLIT[1:]],
        [*SPLIT, image("3")],
        [*SPLIT, SPLIT[0]],
        [image("1", classes=(2, 2)), *SPLIT[1:]],
        [image("1", ((1, 2, 3, 4.1), (5, 6, 7, 8))), *SPLIT[1:]],
        [replace(SPLIT[0], image_id="01"), *SPLIT[1:]],
        [replace(SPLIT[0], height=21), *SPLIT[1:]],
        [replace(SPLIT[0], truth=replace(SPLIT[0].truth, is_crowd=np.array([True, False]))), *SPLIT[1:]],
        [replace(SPLIT[0], truth=replace(SPLIT[0].truth, area=np.array([12.0, 50.0]))), *SPLIT[1:]],
        [replace(SPLIT[0], truth=replace(SPLIT[0].truth, difficult=np.array([True, False]))), *SPLIT[1:]],
        [],
    ],
    ids=["fewer", "more", "twice", "class", "box", "id", "size", "crowd", "area", "difficult", "none"],
)
def test_any_change_gives_another(changed: list[ScoredImage]) -> None:
    assert split_identity(changed, LABELS) != split_identity(SPLIT, LABELS)


def test_classes_count_by_name() -> None:
    swapped = LabelMap.from_names(["dog", "cat"])
    other = [image("1", classes=(2, 1)), image("2", [(0, 0, 9, 9)], [1]), SPLIT[2]]
    assert split_identity(other, swapped) == split_identity(SPLIT, LABELS)


def test_what_arithmetic_may_change_does_not_count() -> None:
    boxes = np.array([(1, 2, 3, 4), (5, 6, 7, 8)]) * (1 + 1e-6)
    assert split_identity([image("1", boxes), *SPLIT[1:]], LABELS) == split_identity(SPLIT, LABELS)


@pytest.mark.parametrize(
    ("theirs", "says"),
    [("f00", ""), ("ba4", "that was ba4, this is f00"), (None, "nobody kept which that was, this is f00")],
)
def test_the_change_in_words(theirs: str | None, says: str) -> None:
    assert split_change(theirs, "f00") == says
