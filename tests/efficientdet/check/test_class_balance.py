from __future__ import annotations

import pytest

from efficientdet.check.class_balance import MOST_STRANGE, RARE, ClassCount, alike, unbalanced
from efficientdet.label_map import LabelMap

LABELS = LabelMap.from_names(["cat", "dog"])


def findings(**boxes: tuple[int, int]) -> list[tuple[str, str, str]]:
    """(split, reason, record) for numbers of cats and dogs per split."""
    counts = {split: ClassCount() for split in boxes}
    for split, numbers in boxes.items():
        for class_id, number in enumerate(numbers, start=1):
            counts[split].add([class_id] * number)
    found = unbalanced(counts, {split: f"{split}.json" for split in boxes}, LABELS)
    return [(split, finding.reason, finding.record) for split, finding in found]


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ({"train": (RARE, RARE), "val": (1, 1)}, []),
        ({"train": (RARE, RARE - 1), "val": (1, 1)}, [("train", "rare class")]),
        ({"train": (RARE, 0), "val": (1, 0)}, [("train", "class without boxes")]),
        ({"train": (RARE, 0), "val": (1, 1)}, [("train", "class not trained on")]),
        (
            {"train": (RARE, RARE), "val": (1, 0), "test": (1, 0)},
            [("val", "class not judged"), ("test", "class not judged")],
        ),
        ({"train": (RARE, 0)}, [("train", "class without boxes")]),
    ],
)
def test_splits(boxes, expected) -> None:
    assert findings(**boxes) == [(split, reason, "class 'dog'") for split, reason in expected]


def test_names_that_a_person_would_not_tell_apart() -> None:
    labels = LabelMap.from_names(["traffic light", "Traffic_Light ", "traffic lights", "STRASSE", "straße"])
    found = [(finding.record, finding.message) for finding in alike(labels, "a.json")]
    assert found == [
        ("class 'Traffic_Light '", "is called nearly as class 'traffic light'"),
        ("class 'straße'", "is called nearly as class 'STRASSE'"),
    ]


def test_counts_are_of_boxes_and_of_images() -> None:
    count = ClassCount()
    count.add([1, 1, 2])
    count.add([1])
    assert (count.boxes, count.images) == ({1: 3, 2: 1}, {1: 2, 2: 1})


def test_strange_categories_do_not_grow_without_end() -> None:
    count = ClassCount()
    for i in range(MOST_STRANGE + 50):
        count.add_strange(f"name {i}")
    count.add_strange("name 0")
    assert len(count.strange) == MOST_STRANGE
    assert count.strange["name 0"] == 2
