"""Speech for tests: the reading that ships with the model, as 16 kHz PCM."""

from __future__ import annotations

import functools
import re
import wave

import jiwer
import numpy
from moonshine_voice import get_assets_path

from captiond.media.chunk import SAMPLE_RATE

SECONDS = 10.6
TEXT = (
    "it was the best of times it was the worst of times it was the age of wisdom "
    "it was the age of foolishness it was the epoch of belief"
)
"""What is said in the first SECONDS."""


@functools.cache
def pcm() -> bytes:
    """Return the first SECONDS of the reading."""
    with wave.open(str(get_assets_path() / "two_cities.wav")) as file:
        step = file.getframerate() // SAMPLE_RATE
        samples = numpy.frombuffer(
            file.readframes(int(SECONDS * SAMPLE_RATE) * step), "<i2"
        )
    # Averaging neighbours is filter enough for speech.
    return bytes(samples.reshape(-1, step).mean(axis=1).astype("<i2").tobytes())


def word_error_rate(text: str) -> float:
    """Return the word error rate of ``text`` against TEXT."""
    words = re.sub(r"[^a-z ]", "", text.lower().replace("-", " "))
    return float(jiwer.wer(TEXT, words))
