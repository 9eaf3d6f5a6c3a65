from __future__ import annotations

from efficientdet.report.label_errors import UNLABELLED, suspects
from efficientdet.report.sections.label_errors import SHOWN, label_errors, suspect_figures

A, B, FAR = (0, 0, 40, 40), (100, 40, 40, 40), (150, 0, 10, 10)


def section(study, read):
    found = suspects(study)
    return read(label_errors(study, found, suspect_figures(study, found)))


def test_each_kind_with_pictures_and_a_list(scene, look, read) -> None:
    found = {"float": [(2, A, 0.9), (1, FAR, 0.8)], "int8": [(2, A, 0.7)]}
    page = section(look([scene("<7>", [(1, A), (3, B)], **found)]), read)
    assert page.tags.count("figure") == 3
    assert "1. <7> · class 2 0.80, annotated class 1, seen by 2 of 2" in page.text
    assert "1. <7> · class 1 0.40, seen by 1 of 2" in page.text
    assert "1. <7> · class 3, 8% of the image" in page.text
    unlabelled, wrong_class, never_found = page.tables
    assert unlabelled[1] == ["1", "<7>", "", "class 1", "0.400", "150.0, 0.0, 10.0, 10.0"]
    assert wrong_class[1] == ["1", "<7>", "class 1", "class 2", "0.800", "0.0, 0.0, 40.0, 40.0"]
    assert never_found[1] == ["1", "<7>", "class 3", "", "0.080", "100.0, 40.0, 40.0, 40.0"]


def test_pictures_of_the_likeliest_only(scene, look, read) -> None:
    study = look([scene(str(i), float=[(1, A, 0.9)]) for i in range(30)])
    assert len(suspect_figures(study, suspects(study))[UNLABELLED]) == SHOWN
    assert len(section(study, read).tables[0]) == 31


def test_nothing_wrong(scene, look, read) -> None:
    assert "Nothing looks wrong." in section(look([scene("1", [(1, A)], float=[(1, A, 0.9)])]), read).text
