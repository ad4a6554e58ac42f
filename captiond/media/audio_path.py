"""
The audio receive path of one track: RTP packets in, chunks on the media clock out.

reorder → place on the timeline → decode → resample → trim → chunk. No I/O and no clock
of its own: packets carry their arrival, and :meth:`AudioPath.poll` tells it the time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from captiond.events import Gap, MediaTime
from captiond.media.chunk import (
    BYTES_PER_SAMPLE,
    SAMPLE_RATE,
    AudioChunk,
    Chunker,
)
from captiond.media.decode import AudioCodec, DecodeError, Decoder
from captiond.media.reorder import Packet, Released, ReorderBuffer
from captiond.media.resample import Resampler
from captiond.media.timeline import Anchoring, Timeline
from captiond.media.trim import Trimmer

Output = AudioChunk | Gap


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AudioPathOptions:
    """Tuning; seconds."""

    reorder: float = 0.06
    max_fill: float = 2.0
    silence_after: float = 0.3
    gap_event: float = 0.2
    chunk_samples: int = 640


@dataclasses.dataclass(slots=True)
class AudioPathStats:
    """
    Counts over the life of one track; audio in samples at 16 kHz.

    What was handed on is what was decoded, less what was trimmed, and what was filled.
    """

    decoded: int = 0
    undecodable: int = 0
    filled_lost: int = 0
    filled_pause: int = 0
    """Filled where the sender sent nothing: no packet is missing."""
    filled_silence: int = 0
    """Put in because no packet came, while it was unknown why."""
    trimmed: int = 0
    """Decoded silence left out, because as much was put in where packets were late."""
    forgiven: int = 0
    """Silence put in that stays: too much to be made up for."""
    anchored: dict[Anchoring, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(Anchoring, 0)
    )


class AudioPath:
    """
    Turns one track's packets into chunks.

    Args:
        codec: What the packets carry.
        origin: Media time of the track's first sample.
        options: Tuning.
        clock: Monotonic clock, read once per packet for the decoded stamp.

    """

    def __init__(
        self,
        codec: AudioCodec,
        *,
        origin: MediaTime,
        options: AudioPathOptions,
        clock: Callable[[], float],
    ) -> None:
        self._options = options
        self._clock = clock
        self._reorder = ReorderBuffer(
            hold=options.reorder, clock_rate=codec.value.clock_rate
        )
        self._timeline = Timeline(
            clock_rate=codec.value.clock_rate,
            origin=round(origin * SAMPLE_RATE),
            max_fill=options.max_fill,
        )
        self._decoder = Decoder(codec)
        self._resampler = Resampler()
        self._trimmer = Trimmer()
        self._chunker = Chunker(chunk_samples=options.chunk_samples)
        self._heard_at: float | None = None
        """Monotonic time at which the last packet came."""
        self.stats = AudioPathStats()

    @property
    def packets(self) -> ReorderBuffer:
        """The reorder stage, for its counts."""
        return self._reorder

    @property
    def position(self) -> MediaTime:
        """Media time after the last sample handed on."""
        return MediaTime(self._timeline.position / SAMPLE_RATE)

    def push(self, packet: Packet) -> list[Output]:
        """Take a packet; return what it completes."""
        self._heard_at = packet.arrival
        return self._process(self._reorder.push(packet))

    def poll(self, now: float) -> list[Output]:
        """Give up overdue packets, and put in silence while nothing comes."""
        outputs = self._process(self._reorder.poll(now))
        if self._heard_at is None:
            return outputs
        elapsed = round((now - self._heard_at) * SAMPLE_RATE)
        samples = self._timeline.lag(elapsed)
        if samples >= self._options.silence_after * SAMPLE_RATE:
            outputs += self._write_silence(samples, now)
            self.stats.filled_silence += samples
        return outputs

    def finish(self, now: float) -> list[Output]:
        """Return everything that is left: the track ended."""
        outputs = self._process(self._reorder.flush())
        outputs += self._chunker.flush(arrival=now, decoded=now)
        return outputs

    def _process(self, released: Iterable[Released]) -> list[Output]:
        outputs: list[Output] = []
        for item in released:
            outputs += self._place(item)
            outputs += self._decode(item.packet)
        return outputs

    def _place(self, item: Released) -> list[Output]:
        placement = self._timeline.place(
            item.packet.timestamp, restarted=item.restarted
        )
        if placement.anchored is not None:
            self.stats.anchored[placement.anchored] += 1
        self.stats.forgiven += placement.forgiven
        outputs: list[Output] = []
        if item.lost and placement.hole >= self._options.gap_event * SAMPLE_RATE:
            start, end = placement.missing
            outputs.append(
                Gap(
                    start=MediaTime(start / SAMPLE_RATE),
                    end=MediaTime(end / SAMPLE_RATE),
                    reason="packets_lost",
                )
            )
        if placement.fill:
            if item.lost:
                self.stats.filled_lost += placement.fill
            else:
                self.stats.filled_pause += placement.fill
            outputs += self._write_silence(placement.fill, item.packet.arrival)
        return outputs

    def _decode(self, packet: Packet) -> list[Output]:
        try:
            frames = self._decoder.decode(packet.payload)
        except DecodeError:
            # Its place on the timeline stays empty and is filled like a lost one.
            self.stats.undecodable += 1
            return []
        outputs: list[Output] = []
        for frame in frames:
            outputs += self._write_audio(self._resampler.resample(frame), packet)
        return outputs

    def _write_audio(self, pcm: bytes, packet: Packet) -> list[AudioChunk]:
        kept = self._trimmer.trim(pcm, self._timeline.surplus)
        trimmed = (len(pcm) - len(kept)) // BYTES_PER_SAMPLE
        chunks = self._chunker.push(
            self._timeline.position,
            kept,
            arrival=packet.arrival,
            decoded=self._clock(),
        )
        self._timeline.leave_out(trimmed)
        self._timeline.advance(len(kept) // BYTES_PER_SAMPLE)
        self.stats.trimmed += trimmed
        self.stats.decoded += len(pcm) // BYTES_PER_SAMPLE
        return chunks

    def _write_silence(self, samples: int, arrival: float) -> list[AudioChunk]:
        chunks = self._chunker.push(
            self._timeline.position,
            bytes(samples * BYTES_PER_SAMPLE),
            arrival=arrival,
            decoded=self._clock(),
        )
        self._timeline.advance_silence(samples)
        return chunks
