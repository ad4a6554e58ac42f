"""
The engine without WebRTC, workers and pace: samples in, session events out.

For benchmarks and self-tests, which want the same lines as a live stream gets. It
runs the model in the calling process, so the daemon must not import it.
"""

from __future__ import annotations

from collections.abc import Iterator

from captiond.engines.moonshine.library import Model
from captiond.engines.moonshine.lines import BYTES_PER_SECOND, Lines
from captiond.engines.moonshine.schedule import Schedule
from captiond.events import MediaTime
from captiond.live.session import Closed, Hypothesis, SessionEvent

CHUNK_BYTES = BYTES_PER_SECOND // 25
"""40 ms, as live audio is cut."""


def transcribe(
    pcm: bytes, *, interim_interval: float = 0.3, model: Model | None = None
) -> Iterator[SessionEvent]:
    """
    Give the events that a live session would, the last one closed.

    Args:
        pcm: Mono 16 kHz signed 16-bit little-endian PCM.
        interim_interval: Seconds of new audio between two interims.
        model: A model that is loaded already.

    """
    lines = Lines((model or Model()).open)
    schedule = Schedule(interim_interval=interim_interval)
    schedule.add(1)
    try:
        for at in range(0, len(pcm), CHUNK_BYTES):
            chunk = pcm[at : at + CHUNK_BYTES]
            lines.feed(MediaTime(at / BYTES_PER_SECOND), chunk, received=0.0)
            schedule.heard(1, len(chunk) / BYTES_PER_SECOND)
            if schedule.next() is not None:
                yield from lines.update()
                schedule.updated(
                    1,
                    pending=lines.pending,
                    asked=lines.asked,
                    speaking=lines.speaking,
                )
        lines.finish(Closed())
        while lines.asked:
            yield from lines.update()
    finally:
        lines.close()


def transcribe_directly(pcm: bytes, *, interim_interval: float = 0.3) -> str:
    """Return what is said in mono 16 kHz signed 16-bit little-endian PCM."""
    return " ".join(
        event.text
        for event in transcribe(pcm, interim_interval=interim_interval)
        if isinstance(event, Hypothesis) and event.final and event.text
    )
