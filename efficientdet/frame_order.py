"""A decoder's frames in the order of their times, and in their places those that never come."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Generic, TypeVar

BUILT_ON_DAMAGE = "the frame builds on a damaged one and was left out"
DELAY = 16
"""Packets behind which a decoder may answer, as H.264 has it: what comes later does not come."""

T = TypeVar("T")


class FrameOrder(Generic[T]):
    """Compares what is sent to a decoder with what it answers.

    Decoders answer late, in another order than they are asked in. After damage they leave out frames without a word
    until the next key frame, and answer what was before late. So from damage on, frames wait for those before them.
    Without damage a packet without an answer is no loss, as some formats have packets that show nothing.
    """

    def __init__(self) -> None:
        self._sent: dict[Fraction, int] = {}
        self._answers: dict[Fraction, tuple[bool, T | str]] = {}
        self._packets, self._last = 0, Fraction(0)
        self._damage: Fraction | None = None

    def send(self, time: Fraction | None) -> None:
        """Notes a packet, and when it is to be shown."""
        self._packets += 1
        if time is not None:
            self._sent[time] = self._packets

    def refuse(self, time: Fraction | None, reason: str) -> None:
        """Notes that the decoder refused what it was sent; without a time it stands behind the last frame."""
        place = self._last if time is None else time
        self._sent.pop(place, None)
        self._answers[place] = False, reason
        self._damage = place if self._damage is None else max(place, self._damage)

    def answer(self, time: Fraction, key: bool, frame: T) -> None:
        """Notes a frame."""
        self._sent.pop(time, None)
        self._answers[time] = key, frame

    def ready(self, end: bool = False) -> Iterator[tuple[Fraction, T | str]]:
        """What can be told now, in order: the frames, and sentences about those that are lost; at the end all."""
        while self._answers:
            time = min(self._answers)
            before = sorted(sent for sent in self._sent if sent < time)
            if before and self._damage is not None:
                if not end and any(self._packets - self._sent[sent] < DELAY for sent in before):
                    return
                for sent in before:
                    yield self._tell(sent, BUILT_ON_DAMAGE)
            for sent in before:
                del self._sent[sent]
            key, content = self._answers.pop(time)
            if key and self._damage is not None and time > self._damage:
                self._damage = None
            yield self._tell(time, content)
        if end and self._damage is not None:
            yield from (self._tell(sent, BUILT_ON_DAMAGE) for sent in sorted(self._sent))

    def _tell(self, time: Fraction, content: T | str) -> tuple[Fraction, T | str]:
        self._last = max(self._last, time)
        return time, content
