from __future__ import annotations

import pytest

from efficientdet.report.label_errors import MOST, NEVER_FOUND, UNLABELLED, WRONG_CLASS, suspects

A, B, FAR = (0, 0, 40, 40), (100, 40, 40, 40), (150, 0, 10, 10)


def test_what_all_see_is_more_suspicious_than_what_one_does(scene, look) -> None:
    images = [
        scene("1", float=[(1, A, 0.9)], int8=[]),
        scene("2", float=[(1, A, 0.8)], int8=[(1, (2, 0, 40, 40), 0.7)]),
    ]
    found = suspects(look(images))[UNLABELLED]
    assert [(s.image, s.seen, s.witnesses, s.truth) for s in found] == [(1, 1, 2, None), (0, 1, 1, None)]
    assert [s.suspicion for s in found] == pytest.approx([0.75, 0.45])


def test_two_detections_of_one_contender_at_one_place_are_one_suspect(scene, look) -> None:
    found = suspects(look([scene("1", float=[(1, A, 0.9), (1, A, 0.8), (2, A, 0.7), (1, B, 0.6)])]))[UNLABELLED]
    assert [(s.seen, s.suspicion) for s in found] == [(1, 0.9), (2, 0.7), (1, 0.6)]


def test_an_annotation_that_is_called_something_else(scene, look) -> None:
    study = look([scene("1", [(1, A), (1, B)], float=[(2, A, 0.9), (1, B, 0.8), (3, B, 0.9)])])
    [suspect] = suspects(study)[WRONG_CLASS]
    assert (suspect.truth, suspect.seen, suspect.suspicion) == (0, 2, 0.9), "B was found as it is annotated"


def test_an_annotation_that_nobody_finds(scene, look) -> None:
    images = [scene("1", [(1, A), (2, B), (3, FAR)], float=[(1, A, 0.9)], int8=[(3, B, 0.1)])]
    [suspect] = suspects(look(images))[NEVER_FOUND]
    assert (suspect.truth, suspect.seen, suspect.witnesses) == (2, None, 0)
    assert suspect.suspicion == pytest.approx(100 / 20_000)


def test_the_largest_come_first_and_crowds_not_at_all(scene, look) -> None:
    images = [scene("1", [(1, FAR), (1, A)], crowds=[(1, (0, 60, 90, 40))], float=[(2, B, 0.9)])]
    assert [s.truth for s in suspects(look(images))[NEVER_FOUND]] == [1, 0]


def test_a_model_that_detects_nothing_says_nothing_of_labels(scene, look) -> None:
    assert not any(suspects(look([scene("1", [(1, A)], float=[])])).values())
    assert not any(suspects(look([])).values())


def test_only_so_many(scene, look) -> None:
    images = [scene(str(i), [(1, A)], float=[(1, FAR, 0.9)]) for i in range(MOST + 20)]
    assert {kind: len(found) for kind, found in suspects(look(images)).items()} == {
        UNLABELLED: MOST,
        WRONG_CLASS: 0,
        NEVER_FOUND: MOST,
    }
