"""Tests of the circuit breaker."""

from __future__ import annotations

import pytest

from captiond.live.breaker import FIRST_PAUSE, LAST_PAUSE, PROBE_TIMEOUT, Breaker


def new_breaker() -> Breaker:
    """Return a breaker without jitter."""
    return Breaker(jitter=lambda: 1.0)


def test_an_engine_that_works_may_be_tried_by_all() -> None:
    """A closed circuit keeps nobody away."""
    breaker = new_breaker()
    breaker.trying(1.0)

    assert (breaker.wait(1.0), breaker.is_open) == (0.0, False)


def test_pauses_double_up_to_a_bound() -> None:
    """Each failure in a row makes the pause longer."""
    breaker = new_breaker()
    now, pauses = 0.0, []
    for _ in range(2000):
        breaker.failed(now, "down")
        pauses.append(breaker.wait(now))
        now += pauses[-1]

    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LAST_PAUSE
    assert breaker.reason == "down"


def test_streams_that_fail_together_count_once() -> None:
    """Twenty streams of one worker are no twenty failures in a row."""
    breaker = new_breaker()
    for _ in range(20):
        breaker.failed(0.0, "down")

    assert breaker.wait(0.0) == FIRST_PAUSE


def test_one_tries_while_the_others_wait() -> None:
    """With an open circuit a try keeps others away until something is heard of it."""
    breaker = new_breaker()
    breaker.failed(0.0, "down")
    breaker.trying(1.0)

    assert breaker.wait(1.0) == PROBE_TIMEOUT
    assert not breaker.is_resting(1.0)

    breaker.failed(2.0, "still down")

    assert breaker.wait(2.0) == 2 * FIRST_PAUSE

    breaker.trying(3.0)
    breaker.worked(opened_at=3.0)

    assert breaker.wait(3.0) == 0.0


def test_jitter_shortens_a_pause_by_half_at_most() -> None:
    """Streams that lost the same engine don't come back in step."""
    breaker = Breaker(jitter=lambda: 0.0)
    breaker.failed(0.0, "down")

    assert breaker.wait(0.0) == pytest.approx(FIRST_PAUSE / 2)


def test_an_engine_may_say_when_to_come_back() -> None:
    """retry_after is kept, jitter or not."""
    breaker = new_breaker()
    breaker.failed(5.0, "quota", retry_after=60.0)
    assert breaker.is_resting(6.0)
    breaker.failed(6.0, "another stream's")

    assert breaker.wait(5.0) == 60.0


def test_a_session_that_was_there_before_closes_no_circuit() -> None:
    """That it goes on doesn't mean that another one could be had."""
    breaker = new_breaker()
    breaker.failed(5.0, "quota", retry_after=60.0)
    breaker.worked(opened_at=4.0)

    assert breaker.wait(5.0) == 60.0
    assert breaker.is_open
