from __future__ import annotations

from efficientdet.report.sections.thresholds import BACKGROUND, MOST_CLASSES, NOT_FOUND, thresholds

A, B, FAR = (0, 0, 40, 40), (100, 40, 40, 40), (150, 0, 10, 10)


def test_the_table_and_the_matrix(scene, look, read) -> None:
    found = [(1, A, 0.9), (2, B, 0.8), (2, FAR, 0.7)]
    page = read(thresholds(look([scene("1", [(1, A), (1, B)], float=found)], names=["cat", "<dog>"])))
    points, confusions = page.tables
    assert points == [
        ["class", "objects", "threshold", "precision", "recall", "F1", "found", "false", "missed"],
        ["cat", "2", "0.900", "1.000", "0.500", "0.667", "1", "0", "1"],
        ["<dog>", "0", "0.500*", "0.000", "n/a", "n/a", "0", "2", "0"],
        ["all", "2", "", "0.333", "0.500", "0.400", "1", "2", "1"],
    ]
    assert confusions[1] == ["cat → <dog>", "1"]
    for cell in ("cat → cat: 1 of 2", "cat → <dog>: 1 of 2", f"{BACKGROUND} → <dog>: 1 of 1"):
        assert cell in page.text
    assert f"→ {NOT_FOUND}:" not in page.text


def test_a_matrix_of_many_classes_is_cut(scene, look, read) -> None:
    study = look([scene("1", [(i, A) for i in range(1, 131)], float=[])], names=[f"c{i}" for i in range(130)])
    page = read(thresholds(study))
    assert f"Shown are the {MOST_CLASSES} classes with most errors; 30 others are left out." in page.text
    assert page.text.count(f"→ {NOT_FOUND}:") == MOST_CLASSES
    assert len(page.tables[0]) == 132


def test_without_anything(scene, look, read) -> None:
    text = read(thresholds(look([scene("1", float=[])]))).text
    assert "There is neither an object nor a believed detection." in text
    assert "No object is taken for one of another class." in text
