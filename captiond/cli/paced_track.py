"""
A track that speaks a file in exact real time, as a microphone would.

A block of samples leaves when its last sample has been spoken: the block that starts
at media time ``t`` is due 20 ms after ``t``. The schedule is absolute, so nothing adds
up over hours; a late block leaves at once and the next ones catch up.
"""

from __future__ import annotations

import asyncio
import fractions
import time
from collections.abc import Awaitable, Callable, Iterator

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.audio.frame import AudioFrame

from captiond.cli.audio_file import BLOCK_MS, AudioFileError

RATE = 48_000
"""Samples per second; Opus's own rate, so that nothing resamples after us."""

_SAMPLES = RATE * BLOCK_MS // 1000
_TIME_BASE = fractions.Fraction(1, RATE)
_SILENCE = bytes(_SAMPLES * 2)


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
