"""Tests of what to make of sound that an engine says nothing about."""

from __future__ import annotations

from captiond.live.stalls import PATIENCE, Stalls, Verdict


def test_the_first_time_the_session_is_replaced() -> None:
    """It may have fallen silent."""
    assert Stalls().judge(10.0, another=False) is Verdict.REPLACE


def test_the_second_time_another_engine_is_asked() -> None:
    """If the next session says nothing either."""
    stalls = Stalls()
    stalls.judge(10.0, another=True)

    assert stalls.judge(10.0, another=True) is Verdict.ASK_ANOTHER


def test_without_another_engine_it_is_noise_for_a_while() -> None:
    """Music costs no session after the second, but an engine is asked again."""
    stalls = Stalls()
    stalls.judge(10.0, another=False)
    verdicts = [stalls.judge(10.0, another=False) for _ in range(6)]

    assert verdicts == [Verdict.NOISE] * 5 + [Verdict.REPLACE]
    assert PATIENCE == 60.0


def test_a_word_makes_it_the_first_time_again() -> None:
    """Whoever says something is well."""
    stalls = Stalls()
    stalls.judge(10.0, another=True)
    stalls.answered()

    assert stalls.judge(10.0, another=True) is Verdict.REPLACE
