"""SIGTERM is a wish inside the context, and what it was outside."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from efficientdet.errors import PreemptedError
from efficientdet.signals import Termination


def test_sigterm_sets_a_flag_and_nothing_else():
    before = signal.getsignal(signal.SIGTERM)
    with Termination() as termination:
        assert not termination.asked
        termination.check()
        os.kill(os.getpid(), signal.SIGTERM)
        assert termination.asked
        with pytest.raises(PreemptedError, match="everything is saved; the same command goes on"):
            termination.check()
    assert signal.getsignal(signal.SIGTERM) is before


def test_ctrl_c_is_a_wish_once():
    before = signal.getsignal(signal.SIGINT)
    with Termination(signal.SIGINT, signal.SIGTERM) as termination:
        os.kill(os.getpid(), signal.SIGINT)
        assert termination.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_nothing_changes():
    before, asked = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with Termination() as termination:
            asked.append(termination.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [False]
    assert signal.getsignal(signal.SIGTERM) is before
