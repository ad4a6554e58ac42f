"""Tests of where long utterances are cut and silence is thrown away."""

from __future__ import annotations

import numpy as np
import pytest

from captiond.engines.openai_realtime.cutter import QUIET, Cut, Cutter
from captiond.engines.openai_realtime.turns import Turns
from captiond.engines.remote.outgoing import AudioMessage
from captiond.events import MediaTime

STEP = 0.1
LIMIT = 10.0
_NOISE = np.random.default_rng(3).normal(0, 1, round(STEP * 16_000))


def message(at: float, *, loud: bool) -> AudioMessage:
    """Return a tenth of a second: a syllable, or hardly anything."""
    samples = _NOISE * 10
    if loud:
        samples[: len(samples) * 7 // 10] *= 600
    return AudioMessage(MediaTime(at), samples.astype(np.int16).tobytes())


def cuts(
    loud: list[bool], *, speech: bool = True, by_server: bool = False
) -> list[tuple[float, Cut]]:
    """Return where what happens in audio of which each tenth is loud or not."""
    turns = Turns(by_server=by_server)
    cutter = Cutter(turns, limit=LIMIT, by_server=by_server)
    found = []
    for number, is_loud in enumerate(loud):
        audio = message(number * STEP, loud=is_loud)
        turns.audio(audio.seconds)
        if speech and number == 3:
            turns.speech_started(0.4)
        cut = cutter.push(audio)
        if cut is Cut.COMMIT:
            turns.asked()
        elif cut is Cut.CLEAR:
            turns.cleared(0.5)
        if cut is not None:
            found.append((round((number + 1) * STEP, 1), cut))
    return found


def test_limit() -> None:
    """Speech without a pause is cut at the limit, and again."""
    assert cuts([True] * 210) == [(10.0, Cut.COMMIT), (20.0, Cut.COMMIT)]


def test_pause() -> None:
    """A pause is better, but not an early one."""
    loud = [True] * 40 + [False] * 4 + [True] * 30 + [False] * 4 + [True] * 20
    [(at, cut)] = cuts(loud)

    assert cut is Cut.COMMIT
    assert 7.4 < at <= 7.8


def test_silence() -> None:
    """It is thrown away now and then."""
    assert cuts([False] * 205, speech=False) == [
        (QUIET, Cut.CLEAR),
        (2 * QUIET - 0.5, Cut.CLEAR),
    ]


def test_silence_of_the_server() -> None:
    """A server that ends utterances throws it away itself."""
    assert cuts([False] * 205, speech=False, by_server=True) == []


def test_limit_of_the_server() -> None:
    """It knows none: it is asked at the limit, one time."""
    found = cuts([True] * 150, by_server=True)

    assert found == [(10.0, Cut.COMMIT)]


@pytest.mark.parametrize("text", ["", "it was"])
def test_words_without_speech(text: str) -> None:
    """What the model hears counts, though the detector doesn't."""
    turns = Turns()
    cutter = Cutter(turns, limit=LIMIT, by_server=False)
    turns.open.text = text
    found = []
    for number in range(101):
        turns.audio(STEP)
        found.append(cutter.push(message(number * STEP, loud=False)))

    assert (Cut.COMMIT in found) == bool(text)
    assert (Cut.CLEAR in found) == (not text)
