"""Tests of the account of missing audio."""

from __future__ import annotations

from captiond.events import Gap, MediaTime
from captiond.live.missing import Missing
from captiond.live.ring import Lost


def lost(start: float, end: float) -> Lost:
    return Lost(MediaTime(start), MediaTime(end), end - start)


def gap(start: float, end: float) -> Gap:
    return Gap(start=MediaTime(start), end=MediaTime(end), reason="engine_unavailable")


def test_audio_never_sent_is_missing_at_once() -> None:
    """It is told once, as one gap where it is in one piece."""
    missing = Missing()

    assert missing.fell_out(lost(0, 1), sent=False) == 1
    assert missing.fell_out(lost(1, 3), sent=False) == 2
    assert missing.fell_out(lost(100, 101), sent=False) == 1
    assert missing.take() == [gap(0, 3), gap(100, 101)]
    assert missing.take() == []


def test_audio_sent_is_missing_when_its_session_fails() -> None:
    """Until then it may still be answered, in parts too."""
    missing = Missing()

    assert missing.fell_out(lost(0, 1), sent=True) == 0
    assert missing.fell_out(lost(5, 6), sent=True) == 0
    assert missing.take() == []

    missing.settled(MediaTime(1))

    assert missing.next_session(MediaTime(6), []) == 1
    assert missing.take() == [gap(5, 6)]


def test_a_successor_that_heard_it_makes_it_good() -> None:
    """A session that began to hear before the audio fell out has it."""
    missing = Missing()
    missing.fell_out(lost(4, 5), sent=True)

    assert missing.next_session(MediaTime(3), []) == 0
    assert missing.take() == []


def test_what_a_successor_was_not_sent_is_missing() -> None:
    """Unless the one before has settled it, and never twice."""
    missing = Missing()
    missing.settled(MediaTime(2))
    missing.fell_out(lost(4, 5), sent=False)

    assert missing.next_session(MediaTime(0), [lost(1, 2), lost(3, 4), lost(4, 5)]) == 1
    assert missing.take() == [gap(4, 5), gap(3, 4)]
