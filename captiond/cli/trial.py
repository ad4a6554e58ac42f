"""One file published and read at the same time: what a reader had, and when."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable

from captiond.cli import audio_file, energy
from captiond.cli.caption_reader import CaptionReader
from captiond.cli.child import Addresses
from captiond.cli.measure import Latencies, Shown, latencies, transcript
from captiond.cli.messages import Caption, Hello, Received, Status
from captiond.cli.speech import Speech
from captiond.cli.whip_client import WhipPublisher

LAST_WORDS = 10.0
"""Seconds that the captions may take to end after the publisher has left."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Trial:
    """What came of publishing one file."""

    captions: list[Shown] = dataclasses.field(default_factory=list)
    started_at: float = 0.0
    """Monotonic time at which the file's first sample was spoken."""

    @property
    def transcript(self) -> str:
        """Text of the finals."""
        return transcript(self.captions)

    def latencies(self, speech: Speech) -> Latencies:
        """Measure by the words' known times, or by the energy of the audio."""
        if speech.words:
            return latencies(self.captions, speech.words, started_at=self.started_at)
        levels = [
            energy.level_db(block)
            for block in audio_file.blocks(speech.path, rate=8000)
        ]
        return energy.latencies(
            self.captions, energy.SpeechTimes(levels), started_at=self.started_at
        )


async def run(
    speech: Speech,
    addresses: Addresses,
    stream: str,
    *,
    on_message: Callable[[Received], None] = lambda _: None,
    tail: float = 1.5,
) -> Trial:
    """
    Publish a file as ``stream``, which must be new, and read its captions.

    Raises:
        CaptiondError: If publishing or reading fails.

    """
    trial = Trial()
    greeted, left = asyncio.Event(), asyncio.Event()

    async def read() -> None:
        async for received in CaptionReader(addresses.captions(stream), wait=True):
            message = received.message
            if isinstance(message, Caption):
                trial.captions.append(_shown(received.at, message))
            elif isinstance(message, Hello):
                greeted.set()
            elif isinstance(message, Status) and message.state in ("paused", "ended"):
                left.set()
            on_message(received)

    async def publish() -> None:
        # A reader that comes first has everything.
        await greeted.wait()
        publisher = WhipPublisher(speech.path, addresses.whip(stream), tail=tail)
        try:
            await publisher.start()
            trial.started_at = publisher.started_at
            await publisher.wait()
        finally:
            await publisher.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(left.wait(), LAST_WORDS)

    reading = asyncio.create_task(read())
    publishing = asyncio.create_task(publish())
    try:
        await asyncio.wait({reading, publishing}, return_when=asyncio.FIRST_COMPLETED)
        # Reading ends only by an error.
        await (reading if reading.done() else publishing)
    finally:
        for task in (publishing, reading):
            task.cancel()
        await asyncio.gather(publishing, reading, return_exceptions=True)
    return trial


def _shown(at: float, caption: Caption) -> Shown:
    return Shown(
        at=at,
        cue=caption.cue,
        final=caption.final,
        text=caption.text,
        start=caption.start,
        end=caption.end,
    )
