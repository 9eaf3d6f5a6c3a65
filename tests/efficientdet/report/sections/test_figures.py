from __future__ import annotations

from efficientdet.report.figure import FALSE, FOUND, MISSED, Figure, Mark, Region
from efficientdet.report.gallery import Gallery
from efficientdet.report.sections.figures import figures, gallery_html, key, sheet

WHOLE, PART = Region(0, 0, 200, 100), Region(50, 0, 50, 50)
BOX = (60.0, 20.0, 30.0, 20.0)


def test_marks_lie_over_the_picture(scene, look, read) -> None:
    marks = (Mark(BOX, FOUND, "cat"), Mark(BOX, FALSE, "<dog> 0.90", labelled=True))
    page = read(figures(look([scene("1")]), [Figure(0, PART, marks, ("<1>", "one", "two"))]))
    by_tag = dict(page.elements)
    assert by_tag["use"]["href"] == "#p0-50-0-50-50"
    assert by_tag["svg"]["viewbox"] == "50 0 50 50"
    rects = [attributes for tag, attributes in page.elements if tag == "rect"]
    assert rects[-1] == {"x": "60.0", "y": "20.0", "width": "30.0", "height": "20.0"}
    assert page.tags.count("text") == 1
    assert page.text == "cat<dog> 0.90<dog> 0.90<1> · one · two"
    assert "small" in page.elements[0][1]["class"]


def test_labels_do_not_cover_each_other(scene, look, read) -> None:
    marks = tuple(Mark((x, 50.0, 30.0, 20.0), MISSED, f"object {x}", labelled=True) for x in (0.0, 2.0, 150.0))
    page = read(figures(look([scene("1")]), [Figure(0, WHOLE, marks, ("1",))]))
    labels = [attributes for tag, attributes in page.elements if tag == "text"]
    assert len(labels) == 2, "the uppermost of the two side by side"
    assert all(0 <= float(label["x"]) <= 200 and 0 <= float(label["y"]) <= 100 for label in labels)


def test_pictures_are_in_the_page_once(read) -> None:
    page = read(sheet({(0, WHOLE): "abc/+=", (3, PART): ""}))
    images = [attributes for tag, attributes in page.elements if tag == "image"]
    assert [image["id"] for image in images] == ["p0-0-0-200-100", "p3-50-0-50-50"]
    assert images[0]["href"] == "data:image/jpeg;base64,abc/+="
    assert images[1]["x"] == "50"


def test_a_gallery_and_the_key(scene, look, read) -> None:
    page = read(gallery_html(look([scene("1")]), Gallery("Worst <images>", "Why.", [Figure(0, WHOLE, (), ("1",))])))
    assert page.text == "Worst <images>Why.1"
    assert "pictures" in [attributes.get("class") for _, attributes in page.elements]
    assert read(key()).text == "object, foundobject, missedcrowddetection, rightdetection, false"
