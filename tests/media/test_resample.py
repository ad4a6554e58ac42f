"""Tests of the resampler, with FFmpeg."""

from __future__ import annotations

import array
import math
import pathlib
import random

import pytest
from av.audio.frame import AudioFrame

from captiond.media.resample import Resampler

TASKS = pathlib.Path("/proc/self/task")


def frame(samples: int, rate: int, *, start: int = 0) -> AudioFrame:
    """Return mono audio of a 440 Hz tone."""
    tone = array.array(
        "h",
        (
            round(10_000 * math.sin(2 * math.pi * 440 * (start + n) / rate))
            for n in range(samples)
        ),
    )
    made = AudioFrame(format="s16", layout="mono", samples=samples)
    made.sample_rate = rate
    made.planes[0].update(tone.tobytes().ljust(made.planes[0].buffer_size, b"\0"))
    return made


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_every_frame_comes_out_whole(rate: int) -> None:
    """Whatever the frames' lengths, each gives exactly as much as it lasts."""
    resampler = Resampler()
    lengths = random.Random(1).choices([2.5, 5, 10, 20, 60], k=200)

    for ms in lengths:
        pcm = resampler.resample(frame(round(rate * ms / 1000), rate))
        assert len(pcm) == 32 * ms


def test_tone_keeps_its_level() -> None:
    """Audio goes through, from the first frame on."""
    resampler = Resampler()
    pcm = b"".join(
        resampler.resample(frame(960, 48_000, start=n * 960)) for n in range(10)
    )
    samples = array.array("h", pcm)

    assert max(samples[:320]) == pytest.approx(10_000, rel=0.05)
    assert max(samples[-320:]) == pytest.approx(10_000, rel=0.05)


@pytest.mark.skipif(not TASKS.exists(), reason="threads are counted in /proc")
def test_resampler_starts_no_thread() -> None:
    """FFmpeg's filters would start one per core for each publisher."""
    before = len(list(TASKS.iterdir()))
    resamplers = [Resampler() for _ in range(4)]
    for each in resamplers:
        each.resample(frame(960, 48_000))

    assert len(list(TASKS.iterdir())) == before
