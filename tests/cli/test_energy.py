"""Where speech starts and ends by energy."""

from __future__ import annotations

import array

import pytest

from captiond.cli.energy import SpeechTimes, latencies, level_db
from captiond.cli.measure import Shown

LEVELS = [-70.0] * 50 + [-20.0] * 50 + [-70.0] * 50 + [-25.0] * 25 + [-68.0] * 25


def test_level_of_silence_and_full_scale() -> None:
    """The level is relative to full scale, and finite for silence."""
    assert level_db(bytes(320)) == pytest.approx(-100)
    assert level_db(array.array("h", [-32768] * 160).tobytes()) == pytest.approx(0)


def test_speech_times() -> None:
    """Onset and end are found from inside and outside of speech."""
    speech = SpeechTimes(LEVELS)

    assert speech.onset_after(0) == pytest.approx(1)
    assert speech.onset_after(2.5) == pytest.approx(3)
    assert speech.onset_after(3.6) is None
    assert speech.end_before(0.9) is None
    assert speech.end_before(2.9) == pytest.approx(2)
    assert speech.end_before(4) == pytest.approx(3.5)


def test_latencies_without_known_words() -> None:
    """First interim and final are measured against the energy."""
    captions = [
        Shown(at=11.5, cue=1, final=False, text="it", start=0.9, end=1.4),
        Shown(at=12.6, cue=1, final=True, text="it was", start=0.9, end=2.3),
        Shown(at=13.0, cue=2, final=True, text=" ", start=2.3, end=2.4),
    ]
    figures = latencies(captions, SpeechTimes(LEVELS), started_at=10.0)

    assert figures.first_interim == pytest.approx([0.5])
    assert figures.final == pytest.approx([0.6])
    assert figures.word == []


def test_no_audio_has_no_speech() -> None:
    """A file without audio has neither onset nor end."""
    assert SpeechTimes([]).onset_after(0) is None
