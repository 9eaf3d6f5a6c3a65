"""TIDE's kinds on hand-made cases, and the laws of their costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efficientdet.report.error_kinds import (
    BACKGROUND,
    BOTH,
    CLASSIFICATION,
    DUPLICATE,
    KINDS,
    LOCALISATION,
    MISSED,
    NONE,
    Oracle,
)
from efficientdet.report.study import Study

A, B = (0, 0, 40, 40), (100, 40, 40, 40)
A_SHIFTED = (20, 0, 40, 40)  # IoU 1/3
FAR = (150, 0, 10, 10)


def oracle(study: Study) -> Oracle:
    contender = study.contenders[0]
    return Oracle(study.split, contender.detected, contender.assignment, contender.diagnosis)


def gains(study: Study) -> dict[int, float]:
    base = oracle(study).ap50()
    return {kind: oracle(study).ap50([kind]) - base for kind in KINDS}


def test_each_kind_is_told(scene, look) -> None:
    found = [
        (1, A, 0.9),
        (1, A, 0.8),
        (2, A, 0.7),
        (1, A_SHIFTED, 0.6),
        (2, A_SHIFTED, 0.5),
        (1, FAR, 0.4),
    ]
    diagnosis = look([scene("1", [(1, A), (1, B)], float=found)]).contenders[0].diagnosis
    assert diagnosis.kind.tolist() == [NONE, DUPLICATE, CLASSIFICATION, LOCALISATION, BOTH, BACKGROUND]
    assert diagnosis.target.tolist() == [-1, 0, 0, 0, 0, -1]
    assert diagnosis.missed.tolist() == [False, True]


def test_the_class_is_right_before_the_place_is_looked_at(scene, look) -> None:
    """A box of the right class that lies badly is a localisation error, whatever else it covers."""
    study = look([scene("1", [(1, A), (2, A_SHIFTED)], float=[(1, A_SHIFTED, 0.9)])])
    assert study.contenders[0].diagnosis.kind.tolist() == [LOCALISATION]
    assert study.contenders[0].diagnosis.missed.tolist() == [False, True]


def test_crowds_make_no_errors(scene, look) -> None:
    study = look([scene("1", [(1, B)], crowds=[(1, A)], float=[(1, A, 0.9), (2, A, 0.8), (1, B, 0.7)])])
    assert study.contenders[0].diagnosis.kind.tolist() == [NONE, BACKGROUND, NONE]
    assert not study.contenders[0].diagnosis.missed.any()


def test_what_a_wrong_class_costs(scene, look) -> None:
    study = look([scene("1", [(1, A), (2, B)], float=[(1, A, 0.9), (1, B, 0.8)])])
    assert oracle(study).ap50() == pytest.approx(0.5)
    assert gains(study) == pytest.approx({**dict.fromkeys(KINDS, 0.0), CLASSIFICATION: 0.5})


def test_what_a_wrong_place_costs(scene, look) -> None:
    study = look([scene("1", [(1, A)], float=[(1, A_SHIFTED, 0.9)])])
    assert oracle(study).ap50() == 0
    assert gains(study) == pytest.approx({**dict.fromkeys(KINDS, 0.0), LOCALISATION: 1.0})


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [(BACKGROUND, (1, FAR, 0.9)), (DUPLICATE, (1, A, 0.85)), (BOTH, (1, A_SHIFTED, 0.9))],
)
def test_what_a_false_detection_costs(scene, look, kind: int, wrong: tuple) -> None:
    """It stands before the second of two objects, so that AP50 is COCO's mean of 1 and 2/3, or of 1/2 and 2/3."""
    others = [(2, A)] if kind == BOTH else [(1, A)]
    found = [(2, A, 0.9)] if kind == BOTH else [(1, A, 0.88)]
    images = [scene("1", others, float=[*found, wrong]), scene("2", [(1, B)], float=[(1, B, 0.5)])]
    study = look(images)
    mended, base = oracle(study).ap50([kind]), oracle(study).ap50()
    assert mended == 1
    assert base < 1
    assert gains(study) == pytest.approx({**dict.fromkeys(KINDS, 0.0), kind: 1 - base})
    assert oracle(study).ap50_without_false() == 1


def test_what_a_missed_object_costs(scene, look) -> None:
    study = look([scene("1", [(1, A), (1, B)], float=[(1, A, 0.9)])])
    half = 51 / 101  # of COCO's recalls 0.00 to 0.50
    assert oracle(study).ap50() == pytest.approx(half)
    assert gains(study) == pytest.approx({**dict.fromkeys(KINDS, 0.0), MISSED: 1 - half})
    assert oracle(study).ap50_without_missed() == 1


def test_of_those_that_miss_one_object_the_best_is_put_right(scene, look) -> None:
    """The other one is taken away, as two would be duplicates."""
    found = [(1, A_SHIFTED, 0.9), (1, (0, 20, 40, 40), 0.8), (1, B, 0.7)]
    study = look([scene("1", [(1, A), (1, B)], float=found)])
    assert oracle(study).ap50([LOCALISATION]) == 1


def test_a_class_of_which_everything_was_missed(scene, look) -> None:
    lost = look([scene("1", [(1, A), (2, B)], float=[(1, A, 0.9)])])
    assert gains(lost)[MISSED] == pytest.approx(0.5)
    doubted = look([scene("1", [(1, A), (2, B)], float=[(1, A, 0.9), (2, FAR, 0.5)])])
    assert gains(doubted)[MISSED] == 0
    assert oracle(doubted).ap50([MISSED, BACKGROUND]) == 1


def test_without_objects_there_is_no_number(scene, look) -> None:
    study = look([scene("1", float=[(1, A, 0.9)])])
    assert oracle(study).ap50() is None
    assert oracle(study).ap50(KINDS) is None


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_laws(random_images, look, seed: int) -> None:
    study = look(random_images(seed))
    contender, mender = study.contenders[0], oracle(study)
    base = mender.ap50()
    if base is None:
        assert contender.scores.metrics["AP50"] is None
        return
    assert base == pytest.approx(contender.scores.metrics["AP50"], abs=1e-12), "nothing mended is COCO's AP50"
    assert mender.ap50(KINDS) == 1, "everything mended is 1"
    for kind in KINDS:
        assert mender.ap50([kind]) >= base - 1e-12, "no mending costs anything"
    assert mender.ap50_without_false() >= base - 1e-12
    assert mender.ap50_without_missed() >= base - 1e-12


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_error_has_one_kind(random_images, look, seed: int) -> None:
    study = look(random_images(seed))
    contender = study.contenders[0]
    diagnosis, assignment = contender.diagnosis, contender.assignment
    assert np.array_equal(diagnosis.kind != NONE, assignment.false)
    found = np.zeros(len(study.objects), bool)
    found[assignment.truth[assignment.true]] = True
    assert not (diagnosis.missed & found).any()
    explained = np.isin(diagnosis.kind, (CLASSIFICATION, LOCALISATION))
    lost = study.objects & ~found & ~diagnosis.missed
    assert np.isin(np.flatnonzero(lost), diagnosis.target[explained]).all()
