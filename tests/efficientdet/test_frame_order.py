"""Every packet that a decoder was sent after damage is shown or lost, in order."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from efficientdet.frame_order import BUILT_ON_DAMAGE, DELAY, FrameOrder


def sent(count: int) -> FrameOrder[int]:
    order = FrameOrder[int]()
    for time in range(count):
        order.send(Fraction(time))
    return order


def test_without_damage_nothing_waits_and_nothing_is_lost():
    order = sent(3)
    order.answer(Fraction(0), True, 10)
    assert list(order.ready()) == [(0, 10)]
    order.answer(Fraction(2), False, 12)
    assert list(order.ready()) == [(2, 12)], "the packet at 1 had nothing to show"
    assert not list(order.ready(end=True))


def test_after_damage_frames_wait_for_late_ones():
    order = sent(5)
    order.refuse(Fraction(2), "noise")
    order.answer(Fraction(4), False, 14)
    assert not list(order.ready())
    order.answer(Fraction(0), True, 10)
    order.answer(Fraction(1), False, 11)
    assert list(order.ready()) == [(0, 10), (1, 11), (2, "noise")]
    for time in range(5, 5 + DELAY):
        order.send(Fraction(time))
    assert list(order.ready()) == [(3, BUILT_ON_DAMAGE), (4, 14)], "the one at 3 can come no more"


def test_a_key_frame_ends_the_damage():
    order = sent(1)
    order.refuse(Fraction(0), "noise")
    order.answer(Fraction(1), True, 11)
    order.send(Fraction(2))
    order.answer(Fraction(3), False, 13)
    assert list(order.ready()) == [(0, "noise"), (1, 11), (3, 13)]


def test_damage_without_a_time_stands_behind_the_last_frame():
    order = FrameOrder[int]()
    order.answer(Fraction(7), True, 17)
    assert list(order.ready()) == [(7, 17)]
    order.refuse(None, "unplugged")
    assert list(order.ready(end=True)) == [(7, "unplugged")]


@given(st.data(), st.integers(1, 40))
def test_after_damage_shown_and_lost_are_all_in_order(data: st.DataObject, count: int):
    """Whatever becomes of each, and however late a decoder answers."""
    order, seen = FrameOrder[int](), []
    order.send(Fraction(0))
    order.refuse(Fraction(0), "noise")
    late: list[int] = []
    for time in range(1, count):
        order.send(Fraction(time))
        fate = data.draw(st.sampled_from(["shown", "late", "refused", "left out"]))
        if fate == "refused":
            order.refuse(Fraction(time), "noise")
        elif fate == "shown":
            order.answer(Fraction(time), False, time)
        elif fate == "late":
            late.append(time)
        if late and time - late[0] >= data.draw(st.integers(0, DELAY - 1)):
            order.answer(Fraction(late[0]), False, late.pop(0))
        seen += list(order.ready())
    seen += list(order.ready(end=True))
    assert [place for place, _ in seen] == list(range(count))
