"""Ctrl-C that stops work where it is whole."""

import os
import signal
import threading

import pytest

from avalib.utils import interrupts
from avalib.utils.interrupts import stop_on_interrupt

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a process can't send itself SIGINT on Windows")


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_ctrl_c_calls_stop_and_nothing_is_raised():
    stops = []
    with stop_on_interrupt(lambda: stops.append(True)) as received:
        press_ctrl_c()
    assert stops == [True]
    assert received == [signal.SIGINT]


def test_sigterm_does_the_same():
    stops = []
    with stop_on_interrupt(lambda: stops.append(True)) as received:
        os.kill(os.getpid(), signal.SIGTERM)
    assert (stops, received) == ([True], [signal.SIGTERM])


def test_a_launchers_second_signal_at_once_is_the_same_ctrl_c():
    stops = []
    with stop_on_interrupt(lambda: stops.append(True)):
        press_ctrl_c()
        press_ctrl_c()
    assert stops


def test_a_second_ctrl_c_later_interrupts(monkeypatch):
    monkeypatch.setattr(interrupts, "SAME_INTERRUPT_S", -1.0)
    with pytest.raises(KeyboardInterrupt):
        with stop_on_interrupt(lambda: None):
            press_ctrl_c()
            press_ctrl_c()


def test_afterwards_ctrl_c_is_what_it_was():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError):
        with stop_on_interrupt(lambda: None):
            raise RuntimeError
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_in_another_thread_nothing_changes():
    handlers = []

    def work():
        with stop_on_interrupt(lambda: None):
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
