"""Tests of the engine without workers."""

from __future__ import annotations

from captiond.engines.moonshine.direct import transcribe, transcribe_directly
from captiond.engines.moonshine.library import Model
from captiond.live.session import Closed, Hypothesis
from tests.engines.moonshine.speech import pcm, word_error_rate


def test_transcribe_directly() -> None:
    """Samples become text."""
    assert word_error_rate(transcribe_directly(pcm())) <= 0.15


def test_transcribe_gives_interims() -> None:
    """Samples become the events of a live session."""
    events = list(transcribe(pcm()[:160000], model=Model()))

    assert events[-1] == Closed()
    assert any(isinstance(event, Hypothesis) and not event.final for event in events)
