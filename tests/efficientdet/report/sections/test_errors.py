from __future__ import annotations

from efficientdet.report.error_kinds import CLASSIFICATION, DUPLICATE, LOCALISATION, MISSED
from efficientdet.report.sections.errors import error_counts, error_kinds

A, B, FAR = (0, 0, 40, 40), (100, 40, 40, 40), (150, 0, 10, 10)
B_SHIFTED = (120, 40, 40, 40)


def test_what_each_kind_costs_and_how_often_it_is_seen(scene, look, read) -> None:
    found = [(1, A, 0.9), (2, B, 0.9)]
    study = look([scene("1", [(1, A), (1, B), (2, FAR)], float=found, int8=[])])
    [[header, *rows, base]] = read(error_kinds(study)).tables
    assert header == ["error", "gain float", "gain int8"]
    gains = {row[0].split()[0]: row[1:] for row in rows[:6]}
    assert gains["Classification"] == ["0.248 1×", "0.000 0×"]
    assert gains["Background"] == ["0.000 0×", "0.000 0×"]
    assert gains["Missed"][1] == "1.000 3×"
    assert [row[0].split(" ")[:2] for row in rows[6:]] == [["All", "false"], ["All", "missed"]]
    assert base == ["AP50 as it is", "0.252", "0.000"]


def test_counts_are_those_of_the_table(scene, look) -> None:
    found = [(1, A, 0.9), (1, A, 0.9), (2, A, 0.6), (1, B_SHIFTED, 0.1)]
    study = look([scene("1", [(1, A), (1, B)], float=found)])
    counts = error_counts(study, study.contenders[0])
    assert (counts[DUPLICATE], counts[CLASSIFICATION]) == (1, 1)
    assert counts[LOCALISATION] == 0, "its score is below the threshold"
    assert counts[MISSED] == 1, "and so its object is missed there"


def test_without_objects(scene, look, read) -> None:
    [[_, *rows, base]] = read(error_kinds(look([scene("1", float=[(1, A, 0.9)])]))).tables
    assert {row[1].split()[0] for row in rows} == {"n/a"}
    assert base[1] == "n/a"
