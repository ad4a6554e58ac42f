"""Tests of the account of absence."""

from __future__ import annotations

from captiond.live.absence import DEGRADED_AFTER, Absence


def test_a_moment_without_an_engine_is_nobodys_business() -> None:
    """Readers are told neither of it nor of its end."""
    absence = Absence(0.0)

    assert not absence.lasts(DEGRADED_AFTER - 0.1, hopeless=False)
    assert not absence.ends()


def test_readers_are_told_once_of_longer_ones_and_of_the_end() -> None:
    """And the seconds are counted from then on."""
    absence = Absence(0.0)

    assert absence.lasts(DEGRADED_AFTER, hopeless=False)
    assert not absence.lasts(DEGRADED_AFTER + 1, hopeless=False)
    assert absence.count(DEGRADED_AFTER + 2) == 2.0
    assert absence.count(DEGRADED_AFTER + 2) == 0.0
    assert absence.ends()
    assert absence.count(99.0) == 0.0


def test_without_hope_nobody_waits() -> None:
    """Readers are told at once, also of a second absence."""
    absence = Absence(0.0)
    absence.ends()

    assert not absence.lasts(1.0, hopeless=True)

    absence.begins(5.0)

    assert absence.lasts(5.0, hopeless=True)
