"""Tests of what goes from one session to the next."""

from __future__ import annotations

from captiond.events import Gap, MediaTime
from captiond.live.continuity import Continuity
from captiond.live.session import Hypothesis
from captiond.metrics import Metrics
from tests.fakes import chunk


def new_continuity(metrics: Metrics | None = None) -> Continuity:
    return Continuity(ring_seconds=5.0, metrics=metrics or Metrics())


def said(text: str, start: float, end: float, *, final: bool = True) -> Hypothesis:
    return Hypothesis(
        utterance="u1",
        final=final,
        start=MediaTime(start),
        end=MediaTime(end),
        text=text,
    )


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def test_a_guess_that_was_shown_is_withdrawn() -> None:
    """Where only an interim went beyond what had been said, its final is empty."""
    it = new_continuity()
    it.trim(said("it was the best", 0.0, 2.0))
    it.ends(MediaTime(3.0))
    it.begins(MediaTime(0.0), [])
    shown = it.trim(said("it was the best often", 0.0, 2.3, final=False))
    final = it.trim(said("it was the best", 0.0, 2.0))

    assert shown is not None
    assert shown.text == "often"
    assert final is not None
    assert (final.final, final.text) == (True, "")


def test_what_was_never_shown_needs_no_final() -> None:
    """An utterance that is said again is left out, and its words are counted."""
    metrics = Metrics()
    it = new_continuity(metrics)
    it.trim(said("it was", 0.0, 1.0))
    it.ends(MediaTime(1.0))
    it.begins(MediaTime(0.0), [])

    assert it.trim(said("it was", 0.0, 1.0)) is None
    removed = value(metrics, "captiond_words_removed_total", reason="repeated")
    assert removed == 2
    assert value(metrics, "captiond_words_replayed_total") == 2


def test_audio_heard_again_is_counted_once_for_each_time() -> None:
    """As far as earlier sessions were sent it."""
    metrics = Metrics()
    it = new_continuity(metrics)
    for number in range(20):
        it.push(chunk(number), sent_until=None)
    it.ends(MediaTime(1.5))
    it.begins(MediaTime(0.5), [])

    assert value(metrics, "captiond_audio_replayed_seconds_total") == 1.0


def test_missing_audio_is_told_when_somebody_hears_again() -> None:
    """Where it was, by the session that goes on, and counted."""
    metrics = Metrics()
    it = new_continuity(metrics)
    for number in range(60):
        it.push(chunk(number), sent_until=None)

    (gap,) = it.settle(MediaTime(3.0))

    assert (gap.start, round(gap.end, 3)) == (0.0, 1.0)
    lost = value(
        metrics, "captiond_audio_discarded_seconds_total", reason="engine_unavailable"
    )
    assert round(lost, 3) == 1.0
    assert it.settle(MediaTime(4.0)) == []


def test_what_is_left_at_the_end_is_missing() -> None:
    """From where it wasn't heard to the end of the audio."""
    it = new_continuity()
    for number in range(10):
        it.push(chunk(number), sent_until=MediaTime(1.0))

    (gap,) = it.give_up(MediaTime(0.4), 0.6)

    assert gap == Gap(
        start=MediaTime(0.4), end=MediaTime(1.0), reason="engine_unavailable"
    )
    assert it.ring.depth == 0.0
