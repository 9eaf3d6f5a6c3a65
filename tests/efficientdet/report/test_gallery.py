from __future__ import annotations

from efficientdet.report.figure import CONTEXT, FALSE, FOUND, MISSED
from efficientdet.report.gallery import LOST, OF_A_KIND, WORST, errors, galleries

A, B = (0, 0, 40, 40), (100, 40, 40, 40)
A_SHIFTED, FAR = (20, 0, 40, 40), (150, 0, 10, 10)


def titled(study) -> dict:
    return {gallery.title: gallery.figures for gallery in galleries(study)}


def test_errors_of_each_image(scene, look) -> None:
    found = [(1, A, 0.9), (1, FAR, 0.95), (2, FAR, 0.9)]
    study = look([scene("1", [(1, A), (3, B)], float=found), scene("2", [(1, A)], float=[(1, A, 0.9)])])
    right, false, missed = errors(study, study.contenders[0])
    assert (right.tolist(), false.tolist(), missed.tolist()) == ([1, 1], [2, 0], [1, 0])


def test_the_worst_images_come_first_and_good_ones_not_at_all(scene, look) -> None:
    images = [
        scene("1", [(1, A)], float=[(1, A, 0.9)]),
        scene("2", [(1, A), (1, B)], float=[(1, A, 0.9)]),
        scene("3", [(1, A), (1, B)], float=[(2, FAR, 0.9)]),
    ]
    figures = titled(look(images))["Worst images"]
    assert [figure.caption for figure in figures] == [
        ("3", "missed 2, false 1, found 0"),
        ("2", "missed 1, false 0, found 1"),
    ]
    assert [mark.kind for mark in figures[0].marks] == [MISSED, MISSED, FALSE]


def test_one_gallery_for_each_kind_that_occurs(scene, look) -> None:
    wrong = {
        "Classification": [(2, A, 0.9)],
        "Localisation": [(1, A_SHIFTED, 0.9), (1, B, 0.8)],
        "Duplicate": [(1, A, 0.9), (1, A, 0.9), (1, B, 0.9)],
        "Background": [(2, FAR, 0.9)],
        "Both": [(2, A_SHIFTED, 0.9)],
    }
    for kind, found in wrong.items():
        figures = titled(look([scene("7", [(1, A), (1, B)], float=found)]))[f"Errors of kind {kind}"]
        assert len(figures) == 1, kind
        assert figures[0].marks[-1].kind == FALSE
        target = [] if kind == "Background" else [FOUND if kind == "Duplicate" else MISSED]
        assert [mark.kind for mark in figures[0].marks[:-1] if mark.kind != CONTEXT] == target, kind


def test_missed_objects_by_size(scene, look) -> None:
    images = [scene("1", [(1, FAR)], float=[]), scene("2", [(1, A), (2, FAR)], float=[])]
    figures = titled(look(images))["Errors of kind Missed"]
    assert [figure.caption for figure in figures] == [("2", "class 1"), ("1", "class 1")], "one of each image"


def test_what_is_lost_against_others(scene, look) -> None:
    found = {"float": [(1, A, 0.9)], "int8": [], "champion/float": [(1, A, 0.9), (1, B, 0.9)], "champion/int8": []}
    shown = titled(look([scene("1", [(1, A), (1, B)], **found)]))
    assert [title for title in shown if title.startswith("Lost")] == [
        "Lost by int8 against float",
        "Lost by float against champion/float",
    ]
    assert shown["Lost by int8 against float"][0].caption == ("1", "missed 2, false 0, found 0")


def test_only_so_many(scene, look) -> None:
    images = [scene(str(i), [(1, A)], float=[(1, A, 0.9)] * (i == 0), int8=[(2, FAR, 0.9)]) for i in range(40)]
    shown = titled(look(images))
    assert len(shown["Worst images"]) == WORST
    assert len(shown["Lost by int8 against float"]) == LOST
    assert len(shown["Errors of kind Missed"]) == OF_A_KIND


def test_boxes_that_are_not_finite_are_not_shown_close_up(scene, look) -> None:
    nowhere = (float("nan"), 0.0, float("inf"), 1.0)
    shown = titled(look([scene("1", [(1, A)], float=[(2, nowhere, 0.9)])]))
    assert "Errors of kind Background" not in shown
    assert shown["Worst images"]


def test_nothing_to_show(scene, look) -> None:
    assert galleries(look([])) == []
    assert galleries(look([scene("1", [(1, A)], float=[(1, A, 0.9)])])) == []
