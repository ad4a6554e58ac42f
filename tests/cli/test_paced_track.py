"""Tests of the tracks that play a file: their pace, and their ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from aiortc.mediastreams import MediaStreamError

from captiond.cli.audio_file import AudioFileError
from captiond.cli.paced_track import PacedTrack, PacedVideoTrack
from captiond.cli.video_file import TimedFrame, VideoFileError, solid

BLOCK = bytes(1920)


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def timed(*seconds: float) -> Iterator[TimedFrame]:
    """Return a frame for each time."""
    return ((each, solid(16, 16, (0, 0, 0))) for each in seconds)


async def test_track_is_paced_without_drift() -> None:
    """Each frame leaves when its last sample has been spoken."""
    time = FakeTime()
    track = PacedTrack(itertools.repeat(BLOCK), clock=time.clock, sleep=time.sleep)
    frame = await track.recv()
    for number in range(1000):
        if number:
            frame = await track.recv()
        assert frame.pts == number * 960
        assert time.now == pytest.approx(100.0 + (number + 1) * 0.02)
        time.now += 0.003  # what encoding takes must not add up

    assert (frame.samples, frame.sample_rate) == (960, 48_000)
    assert track.position == pytest.approx(20.0)
    assert track.started_at == pytest.approx(100.0)


async def test_track_catches_up_when_late() -> None:
    """After a stall the frames that are due leave at once."""
    time = FakeTime()
    track = PacedTrack(itertools.repeat(BLOCK), clock=time.clock, sleep=time.sleep)
    await track.recv()
    time.now += 0.1
    time.slept.clear()
    for _ in range(6):
        await track.recv()

    assert sum(time.slept) == pytest.approx(0.02)


async def test_track_ends_with_silence() -> None:
    """The tail follows the file, then the track is over."""
    time = FakeTime()
    blocks = iter([b"\1\0" * 960])
    track = PacedTrack(blocks, tail=0.04, clock=time.clock, sleep=time.sleep)
    sent = [bytes((await track.recv()).planes[0])[:1920] for _ in range(3)]

    assert sent == [b"\1\0" * 960, BLOCK, BLOCK]
    with pytest.raises(MediaStreamError):
        await track.recv()
    assert track.ended.is_set()
    assert track.readyState == "ended"


async def test_video_is_in_step_with_the_audio() -> None:
    """A picture leaves when its sound does, and carries its own time."""
    time = FakeTime()
    audio = PacedTrack(itertools.repeat(BLOCK), clock=time.clock, sleep=time.sleep)
    await audio.recv()
    times = (0.0, 0.04, 0.5, 10.0)
    track = PacedVideoTrack(timed(*times), audio, clock=time.clock, sleep=time.sleep)
    frames = []
    for seconds in times:
        frames.append(await track.recv())
        assert time.now == pytest.approx(100.0 + max(seconds, 0.02))

    assert [frame.pts for frame in frames] == [0, 3600, 45_000, 900_000]
    with pytest.raises(MediaStreamError):
        await track.recv()
    assert track.readyState == "ended"


async def test_late_video_is_left_out() -> None:
    """An encoder that can't keep up gets fewer pictures, not older ones."""
    time = FakeTime()
    audio = PacedTrack(itertools.repeat(BLOCK), clock=time.clock, sleep=time.sleep)
    await audio.recv()
    track = PacedVideoTrack(
        timed(*(number / 10 for number in range(100))),
        audio,
        clock=time.clock,
        sleep=time.sleep,
    )
    await track.recv()
    time.now = 103.05
    frame = await track.recv()

    assert frame.pts == 26 * 9000


async def test_video_remembers_a_broken_file() -> None:
    """A file that breaks off ends the track, and the track knows why."""

    def broken() -> Iterator[TimedFrame]:
        raise VideoFileError("broken")
        yield from timed(0)

    audio = PacedTrack(itertools.repeat(BLOCK))
    await audio.recv()
    track = PacedVideoTrack(broken(), audio)
    with pytest.raises(MediaStreamError):
        await track.recv()

    assert isinstance(track.error, VideoFileError)


async def test_track_remembers_a_broken_file() -> None:
    """A file that breaks off ends the track, and the track knows why."""

    def broken() -> Iterator[bytes]:
        raise AudioFileError("broken")
        yield b""

    track = PacedTrack(broken())
    with pytest.raises(MediaStreamError):
        await track.recv()

    assert isinstance(track.error, AudioFileError)
