"""
Tracks that play a file in exact real time, as a microphone and a camera would.

A block of samples leaves when its last sample has been spoken: the block that starts
at media time ``t`` is due 20 ms after ``t``. The schedule is absolute, so nothing adds
up over hours; a late block leaves at once and the next ones catch up. Pictures follow
the same schedule; those that are late by far are left out.
"""

from __future__ import annotations

import asyncio
import fractions
import time
from collections.abc import Awaitable, Callable, Iterator

from aiortc.mediastreams import (
    VIDEO_CLOCK_RATE,
    VIDEO_TIME_BASE,
    MediaStreamError,
    MediaStreamTrack,
)
from av.audio.frame import AudioFrame
from av.video.frame import PictureType, VideoFrame

from captiond.cli.audio_file import BLOCK_MS, AudioFileError
from captiond.cli.video_file import TimedFrame, VideoFileError

RATE = 48_000
"""Samples per second; Opus's own rate, so that nothing resamples after us."""

_SAMPLES = RATE * BLOCK_MS // 1000
_TIME_BASE = fractions.Fraction(1, RATE)
_SILENCE = bytes(_SAMPLES * 2)

_MAX_LATE = 0.5
"""Seconds by which a picture may be late; else the encoder would never catch up."""


class PacedTrack(MediaStreamTrack):
    """
    Audio track over blocks of 20 ms, 48 kHz, 16 bit mono.

    Args:
        blocks: The audio; it is asked for one block at a time, when that is due.
        tail: Seconds of silence after it.
        clock: Monotonic clock.
        sleep: Waits for a number of seconds.

    """

    kind = "audio"

    def __init__(
        self,
        blocks: Iterator[bytes],
        *,
        tail: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        super().__init__()
        self._blocks = blocks
        self._tail_blocks = round(tail * 1000 / BLOCK_MS)
        self._clock = clock
        self._sleep = sleep
        self._sent = 0
        self.started_at: float | None = None
        """Monotonic time at which the first sample was spoken."""
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.error: AudioFileError | None = None
        """Why the file ended early."""

    @property
    def position(self) -> float:
        """Seconds of audio handed over, with the silence at the end."""
        return self._sent * BLOCK_MS / 1000

    async def recv(self) -> AudioFrame:
        """
        Return the next frame when it is due.

        Raises:
            MediaStreamError: After the end.

        """
        if self.readyState != "live":
            raise MediaStreamError
        if self.started_at is None:
            self.started_at = self._clock()
            self.started.set()
        block = self._next_block()
        if block is None:
            self.ended.set()
            self.stop()
            raise MediaStreamError
        delay = self.started_at + (self._sent + 1) * BLOCK_MS / 1000 - self._clock()
        if delay > 0:
            await self._sleep(delay)
        frame = AudioFrame(format="s16", layout="mono", samples=_SAMPLES)
        frame.planes[0].update(block)
        frame.sample_rate = RATE
        frame.time_base = _TIME_BASE
        frame.pts = self._sent * _SAMPLES
        self._sent += 1
        return frame

    def _next_block(self) -> bytes | None:
        try:
            block = next(self._blocks, None)
        except AudioFileError as exc:
            self.error, block = exc, None
        if block is None and self._tail_blocks > 0:
            self._tail_blocks -= 1
            block = _SILENCE
        return block


class PacedVideoTrack(MediaStreamTrack):
    """
    Video track in step with an audio track.

    Args:
        frames: The pictures; they are asked for one at a time, in a thread.
        audio: What starts the clock.
        clock: Monotonic clock.
        sleep: Waits for a number of seconds.

    """

    kind = "video"

    def __init__(
        self,
        frames: Iterator[TimedFrame],
        audio: PacedTrack,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        super().__init__()
        self._frames = frames
        self._audio = audio
        self._clock = clock
        self._sleep = sleep
        self.error: VideoFileError | None = None
        """Why the file ended early."""

    async def recv(self) -> VideoFrame:
        """
        Return the next frame when it is due.

        Raises:
            MediaStreamError: After the end.

        """
        if self.readyState != "live":
            raise MediaStreamError
        await self._audio.started.wait()
        assert self._audio.started_at is not None
        while True:
            timed = await asyncio.to_thread(self._next_frame)
            if timed is None:
                self.stop()
                raise MediaStreamError
            seconds, frame = timed
            delay = self._audio.started_at + seconds - self._clock()
            if delay > -_MAX_LATE:
                break
        if delay > 0:
            await self._sleep(delay)
        frame.pts = round(seconds * VIDEO_CLOCK_RATE)
        frame.time_base = VIDEO_TIME_BASE
        # The file's own key frames mean nothing to the encoder.
        frame.pict_type = PictureType.NONE
        return frame

    def _next_frame(self) -> TimedFrame | None:
        try:
            return next(self._frames, None)
        except VideoFileError as exc:
            self.error = exc
            return None
