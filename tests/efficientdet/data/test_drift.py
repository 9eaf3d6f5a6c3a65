from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efficientdet.data.drift import CATEGORICAL, compare, distance
from efficientdet.data.profile import DISTRIBUTIONS, Profile

COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 1000))
NAMES = st.sampled_from(DISTRIBUTIONS)


@given(NAMES, COUNTS, COUNTS)
def test_a_distance_is_symmetric_and_within_bounds(name: str, a: dict[str, int], b: dict[str, int]) -> None:
    there, back = distance(name, a, b), distance(name, b, a)
    assert there.value == pytest.approx(back.value, abs=1e-12)
    assert 0 <= there.value <= 1
    assert there.measure == ("l_infinity" if name in CATEGORICAL else "jensen_shannon_divergence")


@given(NAMES, COUNTS, st.integers(1, 9))
def test_equal_shares_have_no_distance_however_many_they_are(name: str, counts: dict[str, int], times: int) -> None:
    more = {key: n * times for key, n in counts.items()}
    assert distance(name, counts, more).value == pytest.approx(0, abs=1e-12)


@given(NAMES, COUNTS.filter(bool))
def test_without_a_common_bin_the_distance_of_sizes_is_one(name: str, counts: dict[str, int]) -> None:
    other = {key.upper(): n for key, n in counts.items()}
    expected = 1 if name not in CATEGORICAL else max(counts.values()) / sum(counts.values())
    assert distance(name, counts, other).value == pytest.approx(expected)
    assert distance(name, counts, {}).value == 1


def test_the_bin_tells_where_the_shares_differ_most() -> None:
    found = distance("classes", {"a": 2, "b": 2}, {"a": 1, "b": 1, "c": 2})
    assert (found.bin, found.value) == ("c", 0.5)


def test_classes_are_compared_by_name() -> None:
    found = compare(
        "train", Profile(classes=Counter(dog=2, cat=2)), "pets@3's train", Profile(classes=Counter(cat=3, owl=1))
    )
    assert (found.new_classes, found.gone_classes) == (("dog",), ("owl",))
    assert found.distances["classes"].value == 0.5
    assert str(found) == (
        "train against pets@3's train: classes 0.500 (dog), box_size 0.000, box_area 0.000, image_size 0.000,"
        " boxes_per_image 0.000, new classes: dog, gone classes: owl"
    )
    assert found.to_dict()["distances"]["classes"] == {"measure": "l_infinity", "value": 0.5, "bin": "dog"}


def test_many_new_classes_are_counted_on_the_screen() -> None:
    many = Profile(classes=Counter({f"c{i}": 1 for i in range(8)}))
    found = compare("eval", many, "train", Profile())
    assert "new classes: c0, c1, c2, c3, c4 and 3 more" in str(found)
    assert len(found.new_classes) == 8
