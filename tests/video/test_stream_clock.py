"""The clock of a live stream: delays against the fastest frame, seconds that go on after a new connection."""

import pytest

from avalib.video.stream_clock import MAX_STEP_S, StreamClock


class Hands:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def clock(hands):
    return StreamClock(hands)


def test_the_first_frame_is_at_zero_and_not_delayed(clock):
    assert clock.advance(7.0) == (0.0, 100.0)


def test_a_frame_that_arrives_late_was_captured_before(clock, hands):
    clock.advance(7.0)
    hands.now_s = 101.5
    assert clock.measure_lag(8.0) == pytest.approx(0.5)
    time_s, captured_s = clock.advance(8.0)
    assert time_s == pytest.approx(1.0)
    assert captured_s == pytest.approx(101.0, abs=1e-3)


def test_a_burst_at_the_beginning_counts_as_late_once_a_faster_frame_came(clock, hands):
    clock.advance(0.0)
    clock.advance(1.0)  # at once: the first one had waited for a second
    hands.now_s = 100.5
    assert clock.measure_lag(1.5) == pytest.approx(0.0)


def test_clocks_that_drift_apart_are_not_a_delay(clock, hands):
    for n in range(10_000):
        hands.now_s = 100 + n * 1.00005  # the source is slow by 50 millionths
        clock.advance(float(n))
    assert clock.measure_lag(9_999.0) < 0.01


def test_after_a_new_connection_the_seconds_go_on_by_this_machines_clock(clock, hands):
    clock.advance(5.0)
    hands.now_s = 103.0
    clock.reset()
    assert clock.advance(90_000.0) == (3.0, 103.0)


def test_times_grow_from_frame_to_frame(clock):
    first, _ = clock.advance(5.0)
    second, _ = clock.advance(5.0)
    assert second > first


@pytest.mark.parametrize("step_s", [-0.04, MAX_STEP_S + 0.1])
def test_a_step_back_or_a_long_one_is_a_jump(clock, step_s):
    clock.advance(50.0)
    assert clock.is_jump(50.0 + step_s)
    assert not clock.is_jump(50.04)


def test_frames_that_were_dropped_make_no_jump(clock):
    clock.advance(50.0)
    clock.pass_over(54.0)
    clock.pass_over(58.0)
    assert not clock.is_jump(58.04)


def test_a_file_waits_until_its_frame_is_due(clock, hands):
    assert clock.measure_lead(3.0) == 0.0
    clock.advance(3.0)
    hands.now_s = 100.25
    assert clock.measure_lead(4.0) == pytest.approx(0.75)
    assert clock.measure_lead(3.1) == 0.0
