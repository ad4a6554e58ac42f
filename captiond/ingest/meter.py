"""Carries the counts of an audio path, which does no I/O, into the metrics."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Counter

from captiond.media.audio_path import AudioPath
from captiond.media.chunk import SAMPLE_RATE
from captiond.metrics import Metrics


class AudioPathMeter:
    """
    Adds what a path counted since the last report.

    Args:
        metrics: Where to.

    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._reported: dict[Counter, float] = {}

    def report(self, path: AudioPath) -> None:
        """Bring the metrics up to date."""
        for counter, total in self._totals(path):
            grown = total - self._reported.get(counter, 0.0)
            if grown > 0:
                counter.inc(grown)
                self._reported[counter] = total

    def _totals(self, path: AudioPath) -> Iterator[tuple[Counter, float]]:
        metrics, packets, audio = self._metrics, path.packets.stats, path.stats
        yield metrics.packets_received, packets.received
        yield metrics.packets_lost, packets.lost
        yield metrics.packets_late, packets.late
        yield metrics.packets_duplicate, packets.duplicate
        discarded = metrics.packets_discarded
        yield discarded.labels("stray"), packets.stray
        yield discarded.labels("undecodable"), audio.undecodable
        yield metrics.audio_received_seconds, audio.decoded / SAMPLE_RATE
        filled = metrics.audio_filled_seconds
        yield filled.labels("lost"), audio.filled_lost / SAMPLE_RATE
        yield filled.labels("pause"), audio.filled_pause / SAMPLE_RATE
        yield filled.labels("no_packets"), audio.filled_silence / SAMPLE_RATE
        yield metrics.audio_trimmed_seconds, audio.trimmed / SAMPLE_RATE
        yield metrics.clock_forgiven_seconds, audio.forgiven / SAMPLE_RATE
        for reason, count in audio.anchored.items():
            yield metrics.clock_anchored.labels(reason.value), count
