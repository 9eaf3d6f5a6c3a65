from __future__ import annotations

from efficientdet.check.record_names import plain_name, with_unique_records
from efficientdet.data.annotation import BoxAnnotation, ImageAnnotation


def test_repeated_records_are_told_apart() -> None:
    boxes = [BoxAnnotation(record, 1, None) for record in ("a", "b", "a", "a")]
    image = with_unique_records(ImageAnnotation("f", "image 1", "1", "1.jpg", boxes=boxes))
    assert [box.record for box in image.boxes] == ["a", "b", "a (again)", "a (again) (again)"]
    assert with_unique_records(image) is image


def test_detours_in_names() -> None:
    assert [plain_name(name) for name in ("./a.jpg", "b//c.jpg", "b/../a.jpg", "")] == ["a.jpg", "b/c.jpg", "a.jpg", ""]
