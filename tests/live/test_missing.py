"""Tests of the account of missing audio."""

from __future__ import annotations

from captiond.events import Gap, MediaTime
from captiond.live.missing import Missing
from captiond.live.ring import Lost


def lost(start: float, end: float) -> Lost:
    return Lost(MediaTime(start), MediaTime(end), end - start)


def test_audio_never_sent_is_missing_at_once() -> None:
    """It is told as one gap, once."""
    missing = Missing()

    assert missing.fell_out(lost(0, 1), sent=False) == 1
    assert missing.fell_out(lost(1, 3), sent=False) == 2
    assert missing.take() == Gap(
        start=MediaTime(0), end=MediaTime(3), reason="engine_unavailable"
    )
    assert missing.take() is None


def test_audio_sent_is_missing_when_its_session_fails() -> None:
    """Until then it may still be answered."""
    missing = Missing()

    assert missing.fell_out(lost(0, 1), sent=True) == 0
    assert missing.take() is None
    assert missing.next_session(MediaTime(1)) == 1
    assert missing.take() is not None


def test_audio_answered_is_not_missing() -> None:
    """What the session settled the next one needn't hear."""
    missing = Missing()
    missing.fell_out(lost(0, 1), sent=True)
    missing.settled(MediaTime(1))

    assert missing.next_session(MediaTime(1)) == 0
    assert missing.take() is None


def test_a_successor_that_heard_it_makes_it_good() -> None:
    """A session that began to hear before the audio fell out has it."""
    missing = Missing()
    missing.fell_out(lost(4, 5), sent=True)

    assert missing.next_session(MediaTime(3)) == 0
    assert missing.take() is None
