from __future__ import annotations

from efficientdet.report.panels import panels


def test_a_panel_for_each_contender(scene, look, read) -> None:
    study = look([scene("1", **{"int8": [], "<b>": []})])
    page = read(panels(study, lambda contender: f"of {contender.name}"))
    named = [attributes["data-contender"] for _, attributes in page.elements if "data-contender" in attributes]
    assert named == ["<b>", "int8"]
    assert page.text == "<b>of <b>int8of int8"


def test_a_single_contender_needs_none(scene, look, read) -> None:
    page = read(panels(look([scene("1", float=[])]), lambda contender: contender.name))
    assert page.elements == [("div", {})]
