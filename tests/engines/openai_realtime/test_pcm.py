"""Tests of the conversion of audio: no images, no seams, no loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from captiond.engines.openai_realtime.pcm import Converter

RATE = 24_000
SECONDS = 3


def convert(samples: npt.NDArray[np.int16], size: int) -> npt.NDArray[np.int16]:
    """Convert in pieces of so many samples."""
    converter = Converter(RATE)
    pieces = [
        converter.convert(samples[at : at + size].tobytes())
        for at in range(0, len(samples), size)
    ]
    return np.frombuffer(b"".join(pieces), dtype=np.int16)


def tone(hertz: float) -> npt.NDArray[np.int16]:
    times = np.arange(16_000 * SECONDS) / 16_000
    return (16_000 * np.sin(2 * np.pi * hertz * times)).astype(np.int16)


@pytest.mark.parametrize("hertz", [100, 440, 1000, 3000, 5000, 6500, 7000])
def test_spectrum(hertz: int) -> None:
    """A tone stays one tone: everything else is 60 dB below it."""
    out = convert(tone(hertz), 1600)[4800 : 4800 + 32_768].astype(float)
    spectrum = np.abs(np.fft.rfft(out * np.blackman(len(out))))
    frequencies = np.fft.rfftfreq(len(out), 1 / RATE)
    near = np.abs(frequencies - hertz) < 20
    level = spectrum[near].max() / (0.42 * len(out) / 2)

    assert 20 * np.log10(level / 16_000) == pytest.approx(0, abs=1)
    assert 20 * np.log10(spectrum[~near].max() / spectrum[near].max()) < -60


@pytest.mark.parametrize("size", [1, 37, 640, 1600, 48_000])
def test_cuts_leave_no_trace(size: int) -> None:
    """However audio is cut, the result is the same."""
    noise = np.random.default_rng(1).integers(-9000, 9000, 48_000, dtype=np.int16)
    whole = convert(noise, 48_000)
    pieces = convert(noise, size)
    common = min(len(whole), len(pieces))

    assert common >= 1.5 * 48_000 - 100
    assert (whole[:common] == pieces[:common]).all()


def test_same_rate() -> None:
    """Nothing is done to audio that has the right rate."""
    assert Converter(16_000).convert(b"\x01\x02\x03\x04") == b"\x01\x02\x03\x04"
    assert Converter(RATE).convert(b"") == b""
