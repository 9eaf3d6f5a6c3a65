from __future__ import annotations

from efficientdet.report.sections.calibration import calibration

A, FAR = (0, 0, 40, 40), (150, 0, 10, 10)


def test_calibration_of_each_contender(scene, look, read) -> None:
    page = read(calibration(look([scene("1", [(1, A)], float=[(1, A, 0.75)], int8=[])])))
    assert "float ECE 0.250" in page.text
    assert "int8 ECE n/a" in page.text
    assert page.tables[0][8] == ["0.7 to 0.8", "1", "0.750", "1.000"]
    assert "1 detections: score 0.750, precision 1.000" in page.text


def test_bins_of_few_detections_are_pale(scene, look, read) -> None:
    found = [(1, A, 0.75)] + [(1, FAR, 0.05)] * 12
    page = read(calibration(look([scene("1", [(1, A)], float=found)])))
    opacities = [attributes.get("fill-opacity") for tag, attributes in page.elements if tag == "rect"]
    assert opacities == [None, "0.3"]
