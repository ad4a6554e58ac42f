"""Tests of the succession of sessions, in virtual time."""

from __future__ import annotations

from captiond.live.breaker import Breaker
from captiond.live.succession import LAST_MOMENT, LEAD, RESERVE, Open, Succession


class Scene:
    """A succession of a remote and a local engine, and the time."""

    def __init__(self, *order: str) -> None:
        self.breakers = {
            name: Breaker(jitter=lambda: 1.0) for name in ("remote", "local", "other")
        }
        self.it = Succession(
            order or ("remote", "local"), self.breakers, fallback_after=1.0, now=0.0
        )
        self.now = 0.0

    def next(self, *, quiet: bool = False) -> Open | None:
        wanted = self.it.next(self.now, quiet=quiet)
        if wanted is not None:
            self.it.opening(wanted.engine, self.now)
        return wanted

    def speaks(self, engine: str, *, limit: float | None = None) -> None:
        self.it.speaks(engine, self.now, limit=limit)

    def failed(self, engine: str, *, retryable: bool = True) -> None:
        self.it.failed(engine, self.now, "down", retryable=retryable)

    def lost(self, engine: str) -> None:
        self.it.failed(
            engine, self.now, "down", retryable=True, steady=True, opening=False
        )
        self.it.lost_voice(self.now)


def test_the_preferred_engine_is_opened_once() -> None:
    """At the start the first engine is asked, and nobody else beside it."""
    it = Scene()

    assert it.next() == Open("remote", "start")
    assert it.next() is None


def test_a_session_lost_by_bad_luck_is_replaced_at_once() -> None:
    """A good session that fails is no reason to wait, nor for the fallback."""
    it = Scene()
    it.next()
    it.speaks("remote")
    it.now = 100.0
    it.lost("remote")

    assert it.next() == Open("remote", "failed")


def test_the_fallback_is_asked_when_the_preferred_one_is_missing() -> None:
    """Not before fallback_after, also while the first one hangs at its opening."""
    it = Scene()
    it.next()
    it.now = 0.9

    assert it.next() is None

    it.now = 1.0

    assert it.next() == Open("local", "fallback")


def test_the_fallback_is_asked_early_when_waiting_is_certain() -> None:
    """A breaker that keeps the first engine away for longer is not waited for."""
    it = Scene()
    it.next()
    it.it.failed("remote", 0.1, "quota", retryable=True, retry_after=60.0)
    it.now = 0.1

    assert it.next() == Open("local", "fallback")


def test_the_preferred_engine_comes_back() -> None:
    """While the fallback speaks the first one is tried when its breaker allows."""
    it = Scene()
    it.next()
    it.failed("remote")
    it.now = 1.0
    assert it.next() == Open("remote", "start")
    it.failed("remote")
    it.now = 1.1
    assert it.next() == Open("local", "fallback")
    it.speaks("local")

    assert it.next() is None

    it.now = 2.0

    assert it.next() == Open("remote", "recovered")

    it.speaks("remote")

    assert it.next() is None


def test_an_engine_that_refused_is_not_asked_again() -> None:
    """A wrong key isn't retried; the fallback speaks at once."""
    it = Scene()
    it.next()
    it.failed("remote", retryable=False)

    assert it.next() == Open("local", "fallback")

    it.speaks("local")
    it.now = 10_000.0

    assert it.next() is None
    assert not it.it.hopeless


def test_without_an_engine_left_there_is_no_hope_until_one_is_asked_for() -> None:
    """A controller may ask for an engine that had refused."""
    it = Scene("remote")
    it.next()
    it.failed("remote", retryable=False)

    assert it.it.hopeless
    assert it.next() is None

    it.it.prefer("remote")

    assert not it.it.hopeless
    assert it.next() == Open("remote", "start")


def test_a_session_is_replaced_in_the_last_silence() -> None:
    """From the soft deadline on a silence is used."""
    it = Scene()
    it.next()
    it.speaks("remote", limit=600.0)
    it.now = 600.0 - LEAD - 1

    assert it.next(quiet=True) is None

    it.now += 1

    assert it.next() is None
    assert it.next(quiet=True) == Open("remote", "limit")
    assert it.next(quiet=True) is None


def test_a_session_is_replaced_in_time_without_a_silence() -> None:
    """Speech is no reason to wait for ever, and at last catching up is none."""
    it = Scene()
    it.next()
    it.speaks("remote", limit=600.0)
    it.now = 600.0 - RESERVE - 1

    assert it.next() is None

    it.now += 1

    assert it.next() == Open("remote", "limit")
    assert not it.it.must_switch(it.now)
    assert it.it.must_switch(600.0 - LAST_MOMENT)


def test_going_away_brings_the_deadline_forward() -> None:
    """The engine's word counts if it is the earlier one."""
    it = Scene()
    it.next()
    it.speaks("remote", limit=600.0)
    it.it.going_away(it.now, 50.0)

    assert it.next() is None
    assert it.next(quiet=True) == Open("remote", "going_away")

    it.it.going_away(it.now, 1000.0)

    assert it.it.must_switch(50.0 - LAST_MOMENT)


def test_going_away_soon_is_followed_now() -> None:
    """A successor needs the time that is left to catch up."""
    it = Scene()
    it.next()
    it.speaks("remote")
    it.it.going_away(it.now, 5.0)

    assert it.next() == Open("remote", "going_away")
    assert not it.it.must_switch(it.now)


def test_going_away_at_once_is_followed_at_once() -> None:
    """With no time left the next session is opened now."""
    it = Scene()
    it.next()
    it.speaks("remote")
    it.it.going_away(it.now, 0.0)

    assert it.next() == Open("remote", "going_away")


def test_a_failed_rotation_is_tried_again() -> None:
    """The breaker paces further tries while the old session still speaks."""
    it = Scene()
    it.next()
    it.speaks("remote", limit=100.0)
    it.now = 91.0
    assert it.next() == Open("remote", "limit")
    it.failed("remote")

    assert it.next() is None

    it.now = 92.0

    assert it.next() == Open("remote", "limit")


def test_a_controller_may_ask_for_an_engine() -> None:
    """It is opened beside the one that speaks, which stays until then."""
    it = Scene()
    it.next()
    it.speaks("remote")
    it.it.prefer("other")

    assert it.next() == Open("other", "requested")

    it.speaks("other")

    assert it.next() is None

    it.lost("other")
    it.failed("other", retryable=False)

    assert it.next() == Open("remote", "fallback")


def test_an_expected_pause_calls_no_fallback() -> None:
    """A session that had to end before the next one has a moment for it."""
    it = Scene()
    it.next()
    it.speaks("remote")
    it.now = 10.0
    it.it.lost_voice(it.now, expected=True)
    assert it.next() == Open("remote", "failed")
    it.now = 12.0

    assert it.next() is None


def test_something_is_always_waited_for() -> None:
    """wake_in() is never zero or negative, so that nobody spins."""
    it = Scene()
    it.next()
    it.speaks("remote", limit=10.0)
    for it.now in (0.0, 8.0, 9.0, 10.0, 99.0):
        assert it.it.wake_in(it.now) > 0
