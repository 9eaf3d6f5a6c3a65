from __future__ import annotations

from dataclasses import replace

from efficientdet.report.limits import Limits
from efficientdet.report.sections.curves import curves

A, B = (0, 0, 40, 40), (100, 40, 40, 40)


def test_four_charts_for_all_and_for_each_class(scene, look, read) -> None:
    found = {"float": [(1, A, 0.9)], "int8": [(1, A, 0.8)]}
    page = read(curves(look([scene("1", [(1, A), (2, B)], **found)])))
    assert page.tags.count("figure") == 4 + 2 + 2 * 4, "the mean, the overview, both classes"
    folds = [attributes["data-name"] for _, attributes in page.elements if "data-name" in attributes]
    assert folds == ["class 2", "class 1"], "the worst first"
    assert "class 1AP50 1.000, 1 object" in page.text
    dots = [attributes for tag, attributes in page.elements if tag == "circle"]
    assert len(dots) == 2, "the best thresholds of class 1; class 2 has none"


def test_of_equally_bad_classes_the_one_with_more_objects_is_worse(scene, look, read) -> None:
    page = read(curves(look([scene("1", [(1, A), (2, B), (2, A)], float=[])])))
    assert [attributes["data-name"] for _, attributes in page.elements if "data-name" in attributes] == [
        "class 2",
        "class 1",
    ]


def test_of_many_classes_the_worst_and_the_best_at_once(scene, look, read) -> None:
    truth = [(class_id, A) for class_id in range(1, 11)]
    study = look([scene("1", truth, float=[(3, A, 0.9)])], names=[f"c{i}" for i in range(1, 11)])
    page = read(curves(study))
    assert page.tags.count("figure") == 4 + 8 + 10 * 4
    assert page.text.index("Best classes") < page.text.index("c3AP50 1.000, 1 object")
    none = read(curves(replace(study, limits=Limits(curves=0))))
    assert none.tags.count("figure") == 4 + 8


def test_of_a_thousand_classes_only_some(scene, look, read) -> None:
    study = look([scene("1", [(i, A) for i in range(1, 1001)], float=[])], names=[f"c{i}" for i in range(1000)])
    page = read(curves(study))
    assert "The 100 worst and 20 best of 1000 classes" in page.text
    assert sum("data-name" in attributes for _, attributes in page.elements) == study.limits.curves == 120


def test_without_objects(scene, look, read) -> None:
    assert "there is no curve" in read(curves(look([scene("1", float=[(1, A, 0.9)])]))).text
