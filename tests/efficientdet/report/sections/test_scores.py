from __future__ import annotations

from dataclasses import replace

from efficientdet.coco_metric import COCO_METRICS
from efficientdet.report.limits import Limits
from efficientdet.report.sections.scores import classes, scores

A, B = (0, 0, 40, 40), (100, 40, 40, 40)


def test_twelve_numbers_side_by_side(random_images, look, read) -> None:
    study = look(random_images(3, images=12, names=("float", "int8", "champion/float")))
    [[header, *rows]] = read(scores(study)).tables
    assert header == ["", "float", "int8", "champion/float"]
    assert [row[0].split()[0] for row in rows] == list(COCO_METRICS)
    for metric, row in zip(COCO_METRICS, rows, strict=True):
        for contender, cell in zip(study.contenders, row[1:], strict=True):
            value = contender.scores.metrics[metric]
            assert cell.split()[0] == ("n/a" if value is None else f"{value:.3f}")


def test_the_difference_from_the_first(scene, look, read) -> None:
    study = look([scene("1", [(1, A), (1, B)], float=[(1, A, 0.9)], int8=[(1, A, 0.9), (1, B, 0.8)])])
    [[_, ap, *_]] = read(scores(study)).tables
    assert ap[1:] == ["0.505", "1.000 +0.495"]


def test_numbers_of_each_class_and_the_classes_that_have_none(scene, look, read) -> None:
    found = {"float": [(1, A, 0.9)], "int8": []}
    page = read(classes(look([scene("1", [(1, A), (1, B), (2, B)], **found)], names=["cat", "<dog>", "<b>"])))
    assert page.tables[0] == [
        ["class", "objects", "AP float", "AP int8"],
        ["cat", "2", "0.505", "0.000 −0.505"],
        ["<dog>", "1", "0.000", "0.000 ±0.000"],
    ]
    assert "1 of 3 classes have no object in the split, and so no number: <b>." in page.text
    assert page.tables[1][0] == ["class", *COCO_METRICS]
    assert page.tables[1][1][:3] == ["cat", "0.505", "0.505"]
    assert len(page.tables) == 3, "one for each contender"


def test_without_objects(scene, look, read) -> None:
    study = look([scene("1", float=[(1, A, 0.9)])])
    assert "The split holds no object." in read(classes(study)).text
    assert {cell for _, cell in read(scores(study)).tables[0][1:]} == {"n/a"}


def test_many_classes_are_cut(scene, look, read) -> None:
    study = look([scene("1", [(1, A), (2, A), (2, B)], float=[])], names=[f"c{i}" for i in range(1, 9)])
    page = read(classes(replace(study, limits=Limits(rows=1, names=2))))
    assert [row[0] for row in page.tables[0]] == ["class", "c2"]
    assert [row[0] for row in page.tables[1]] == ["class", "c2"]
    assert "Shown are the 1 classes with most objects; 1 others are left out." in page.text
    assert "c3, c4 and 4 others." in page.text
