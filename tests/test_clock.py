"""Tests of the arrival clock."""

from __future__ import annotations

from captiond.clock import ArrivalClock
from captiond.events import MediaTime


def test_position_is_told_by_the_mark_that_covers_it() -> None:
    """A sample arrived with the chunk that it is in."""
    clock = ArrivalClock()
    clock.mark(MediaTime(0.04), 100.0)
    clock.mark(MediaTime(0.08), 100.04)

    assert clock.arrival_of(MediaTime(0.02)) == 100.0
    assert clock.arrival_of(MediaTime(0.04)) == 100.0
    assert clock.arrival_of(MediaTime(0.05)) == 100.04
    assert clock.arrival_of(MediaTime(0.5)) == 100.04


def test_nothing_is_known_without_marks() -> None:
    """An empty clock tells nothing."""
    assert ArrivalClock().arrival_of(MediaTime(0.0)) is None


def test_old_marks_are_forgotten() -> None:
    """What lies behind the horizon is not told, and takes no memory."""
    clock = ArrivalClock(horizon=1.0)
    for n in range(1000):
        clock.mark(MediaTime(n * 0.1), float(n))

    assert clock.arrival_of(MediaTime(1.0)) is None
    assert clock.arrival_of(MediaTime(99.5)) == 995.0
    assert len(clock._ends) <= 12
