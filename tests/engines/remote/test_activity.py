"""Speech is found in what is said, and nowhere else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from captiond.engines.remote.activity import ActivityDetector, Tuning
from captiond.events import MediaTime
from captiond.live.session import SpeechEnded, SpeechStarted
from tests.servers.programme import Programme

RATE = 16_000
BYTES_PER_SECOND = 2 * RATE


@pytest.fixture(scope="module")
def programme() -> Programme:
    return Programme.packaged()


def find(
    pcm: bytes, *, chunk_bytes: int = 1280, tuning: Tuning | None = None
) -> list[tuple[float, float]]:
    """Return where the detector finds speech; what is open at the end, ends there."""
    detector = ActivityDetector(tuning)
    events: list[SpeechStarted | SpeechEnded] = []
    for at in range(0, len(pcm), chunk_bytes):
        start = MediaTime(at / BYTES_PER_SECOND)
        events += detector.push(start, pcm[at : at + chunk_bytes])
    events += detector.end()
    kinds = [type(event) for event in events]
    assert kinds == [SpeechStarted, SpeechEnded] * (len(events) // 2)
    times = [event.time for event in events]
    assert times == sorted(times)
    return list(zip(times[::2], times[1::2], strict=True))


def noise(seconds: float, level: float) -> bytes:
    """Return white noise."""
    samples = np.random.default_rng(1).normal(0, level, round(seconds * RATE))
    return samples.astype("<i2").tobytes()


def test_words_are_inside(programme: Programme) -> None:
    """Every word lies in speech, and no border in a word."""
    found = find(programme.pcm)
    for word in programme.words:
        assert any(
            start <= word.start + 0.1 and word.end - 0.1 <= end for start, end in found
        )
    borders = [border for segment in found for border in segment]
    for word in programme.words:
        assert not any(word.start + 0.05 < b < word.end - 0.05 for b in borders)


def test_pauses_are_outside(programme: Programme) -> None:
    """Every pause of the hangover or more ends speech."""
    found = find(programme.pcm)
    words = programme.words
    pauses = [
        (before.end, after.start)
        for before, after in itertools.pairwise(words)
        if after.start - before.end > 0.75
    ]
    assert len(pauses) >= 2
    for start, end in pauses:
        assert any(start - 0.1 < segment[1] < end for segment in found)


@pytest.mark.parametrize("chunk_bytes", [2, 640, 1000, 3200, 32_000])
def test_chunks_do_not_matter(programme: Programme, chunk_bytes: int) -> None:
    """The same speech is found however the audio is cut."""
    pcm = programme.between(0.0, 14.0)

    assert np.allclose(find(pcm, chunk_bytes=chunk_bytes), find(pcm))


def test_digital_silence() -> None:
    """Zeros are no speech, and don't make the rest of the world loud."""
    assert find(bytes(10 * BYTES_PER_SECOND)) == []


def test_speech_between_zeros(programme: Programme) -> None:
    """A source that sends zeros in pauses is heard like any other."""
    zeros = bytes(2 * BYTES_PER_SECOND)
    speech = programme.between(13.4, 16.9)
    found = find(zeros + speech + zeros + speech + zeros)

    assert [(round(s), round(e)) for s, e in found] == [(2, 5), (7, 11)]


def test_quiet_room() -> None:
    """Noise that nobody hears is no speech."""
    assert find(noise(10.0, 8.0)) == []


@pytest.mark.parametrize("level", [200.0, 2000.0, 8000.0])
def test_constant_noise_becomes_silence(programme: Programme, level: float) -> None:
    """Loud noise ends to be speech within seconds, and what is louder is found."""
    room = noise(3.0, 8.0)
    found = find(room + noise(12.0, level))
    assert len(found) == 1
    assert found[0][1] <= 3.0 + 6.0

    quiet = min(level, 200.0)
    mixed = np.frombuffer(programme.between(13.4, 16.9), dtype="<i2").astype(float)
    mixed += np.frombuffer(noise(3.5, quiet), dtype="<i2")[: len(mixed)]
    speech = np.clip(mixed, -32768, 32767).astype("<i2").tobytes()
    found = find(noise(10.0, quiet) + speech + noise(2.0, quiet))
    assert any(9.5 <= start <= 10.8 and end >= 12.5 for start, end in found)


def test_clipped_speech(programme: Programme) -> None:
    """Pauses are found in speech that is much too loud."""
    samples = np.frombuffer(programme.pcm, dtype="<i2").astype(float) * 20
    clipped = np.clip(samples, -32768, 32767).astype("<i2").tobytes()
    found = find(clipped)

    assert len(found) >= 4
    for word in programme.words:
        assert any(
            start <= word.start + 0.1 and word.end - 0.1 <= end for start, end in found
        )


def test_offset() -> None:
    """A sound card's constant offset is no sound."""
    assert find(np.full(5 * RATE, 3000, dtype="<i2").tobytes()) == []


def test_jump(programme: Programme) -> None:
    """Speech ends where the media clock jumps, and begins again after it."""
    detector = ActivityDetector()
    speech = programme.between(2.0, 4.0)
    events = detector.push(MediaTime(10.0), speech)
    assert detector.speaking
    events += detector.push(MediaTime(30.0), speech)

    kinds = [type(event) for event in events]
    assert kinds[:3] == [SpeechStarted, SpeechEnded, SpeechStarted]
    assert events[1].time == pytest.approx(12.0, abs=0.15)
    assert events[2].time >= 30.0


def test_a_chunk_that_is_a_little_off(programme: Programme) -> None:
    """A rounding of the media clock ends nothing."""
    detector = ActivityDetector()
    events = detector.push(MediaTime(10.0), programme.between(2.0, 3.0))
    events += detector.push(MediaTime(11.01), programme.between(3.0, 4.0))

    assert [type(event) for event in events] == [SpeechStarted]


def test_speech_without_a_pause_ends_all_the_same(programme: Programme) -> None:
    """At a breath if there is one, else after the longest time."""
    samples = np.frombuffer(programme.between(29.2, 41.6), dtype="<i2").astype(float)
    loud = np.tile(samples, 4)
    hum = np.sin(np.arange(len(loud)) / 10) * (np.abs(loud).max() / 3)
    endless = np.where(np.arange(len(loud)) % 4000 < 2000, hum, loud).astype("<i2")
    found = find(endless.tobytes(), tuning=Tuning(longest=20.0, window=60.0))

    assert len(found) >= 2
    assert all(end - start <= 20.5 for start, end in found)
