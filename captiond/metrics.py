"""
Metrics: how late every stage is, and everything that was counted or discarded.

One value object, handed to whoever measures. Units are base units, and no label
grows with streams or users; per-stream figures are in the API.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

LATENCY_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4,
    0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0,
    15.0, 20.0, 30.0,
)  # fmt: skip
"""Seconds. Stages take milliseconds, captions up to seconds; one scale for all."""

STAGES = (
    "receive_decode",
    "decode_engine",
    "engine",
    "engine_publish",
    "publish_written",
)


class Metrics:
    """
    Every metric of one daemon.

    Args:
        registry: Where the metrics are registered; a new one by default.

    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

        self.stage_seconds = self._histogram(
            "captiond_stage_seconds", "Time spent in one stage of the path", ["stage"]
        )
        for stage in STAGES:
            self.stage_seconds.labels(stage)
        self.caption_latency_seconds = self._histogram(
            "captiond_caption_latency_seconds",
            "Arrival of the cue's last audio sample to the caption being written to "
            "the subscribers",
            ["state"],
        )
        self.first_interim_seconds = self._histogram(
            "captiond_first_interim_seconds",
            "Arrival of the first sample of speech to the utterance's first caption",
        )
        self.engine_lag_seconds = self._gauge(
            "captiond_engine_lag_seconds",
            "Audio waiting for the engine, of the stream where it is longest",
        )
        self.engine_realtime_factor = self._gauge(
            "captiond_engine_realtime_factor",
            "Time that workers compute per second of time, mean of the workers",
        )
        self._define_ingest()
        self._define_engine()
        self._define_egress()

    def _define_ingest(self) -> None:
        self.packets_received = self._counter(
            "captiond_packets_received", "RTP packets of audio received"
        )
        self.packets_lost = self._counter(
            "captiond_packets_lost", "RTP packets of audio that never arrived"
        )
        self.packets_late = self._counter(
            "captiond_packets_late", "RTP packets that came after their time"
        )
        self.packets_duplicate = self._counter(
            "captiond_packets_duplicate", "RTP packets received more than once"
        )
        self.packets_discarded = self._counter(
            "captiond_packets_discarded", "Packets not used, by reason", ["reason"]
        )
        self.audio_received_seconds = self._counter(
            "captiond_audio_received_seconds", "Audio decoded"
        )
        self.audio_filled_seconds = self._counter(
            "captiond_audio_filled_seconds", "Silence put in for audio", ["reason"]
        )
        self.audio_trimmed_seconds = self._counter(
            "captiond_audio_trimmed_seconds",
            "Silence left out to make up for silence put in",
        )
        self.clock_forgiven_seconds = self._counter(
            "captiond_clock_forgiven_seconds",
            "Silence put in that was too much to make up for",
        )
        self.audio_discarded_seconds = self._counter(
            "captiond_audio_discarded_seconds", "Audio no engine heard", ["reason"]
        )
        self.clock_anchored = self._counter(
            "captiond_clock_anchored", "Media clock anchored anew", ["reason"]
        )
        self.pictures_sampled = self._counter(
            "captiond_pictures_sampled", "Pictures taken from publishers' video"
        )
        self.pictures_discarded = self._counter(
            "captiond_pictures_discarded",
            "Frames of video not used while pictures were wanted, by reason",
            ["reason"],
        )
        self.publishers = self._gauge("captiond_publishers", "Publishers connected")
        self.streams = self._gauge("captiond_streams", "Streams", ["state"])
        self.publisher_sessions = self._counter(
            "captiond_publisher_sessions", "Publisher sessions ended", ["reason"]
        )
        self.offers_refused = self._counter(
            "captiond_offers_refused", "WHIP requests refused, by status", ["status"]
        )

    def _define_engine(self) -> None:
        self.workers = self._gauge("captiond_workers", "Worker processes ready")
        self.workers_replaced = self._counter(
            "captiond_workers_replaced", "Workers replaced, by reason", ["reason"]
        )
        self.worker_cpu_seconds = self._counter(
            "captiond_worker_cpu_seconds", "CPU time of all workers"
        )
        self.sessions_opened = self._counter(
            "captiond_sessions_opened", "Live sessions opened", ["engine"]
        )
        self.sessions_rotated = self._counter(
            "captiond_sessions_rotated",
            "Live sessions that another one took over from in good order",
            ["engine", "reason"],
        )
        self.sessions_failed = self._counter(
            "captiond_sessions_failed",
            "Live sessions that failed or couldn't be opened",
            ["engine", "reason"],
        )
        self.engine_audio_sent_seconds = self._counter(
            "captiond_engine_audio_sent_seconds",
            "Audio sent to an engine, repeated audio included: what remote ones charge",
            ["engine"],
        )
        self.ring_depth_seconds = self._gauge(
            "captiond_ring_depth_seconds",
            "Audio whose text is not final, of the stream where it is longest",
        )
        self.words_replayed = self._counter(
            "captiond_words_replayed", "Words in finals of audio that was sent again"
        )
        self.words_removed = self._counter(
            "captiond_words_removed", "Words taken out of finals, by reason", ["reason"]
        )
        self.degraded_seconds = self._counter(
            "captiond_degraded_seconds",
            "Time that streams were degraded: no engine for more than a moment",
        )
        self.inputs_discarded = self._counter(
            "captiond_inputs_discarded",
            "Pictures, texts and answers that no engine was given",
            ["reason"],
        )
        self.audio_replayed_seconds = self._counter(
            "captiond_audio_replayed_seconds", "Audio sent again after a failure"
        )

    def _define_egress(self) -> None:
        self.cues = self._counter("captiond_cues", "Cues ended in a final")
        self.words = self._counter("captiond_words", "Words in finals")
        self.subscribers = self._gauge(
            "captiond_subscribers", "Subscribers connected", ["transport"]
        )
        self.deliveries = self._counter(
            "captiond_deliveries", "Events written to subscribers", ["transport"]
        )
        self.events_discarded = self._counter(
            "captiond_events_discarded", "Events not delivered", ["reason"]
        )
        self.subscribers_cut = self._counter(
            "captiond_subscribers_cut", "Subscribers closed by us", ["reason"]
        )
        self.resumes = self._counter(
            "captiond_resumes", "Subscribers that named a position", ["result"]
        )
        self.controllers = self._gauge(
            "captiond_controllers", "Controllers connected to control channels"
        )
        self.control_requests = self._counter(
            "captiond_control_requests",
            "What controllers asked for, by result",
            ["request", "result"],
        )

    def _counter(
        self, name: str, text: str, labels: list[str] | None = None
    ) -> Counter:
        return Counter(name, text, labels or [], registry=self.registry)

    def _gauge(self, name: str, text: str, labels: list[str] | None = None) -> Gauge:
        return Gauge(name, text, labels or [], registry=self.registry)

    def _histogram(
        self, name: str, text: str, labels: list[str] | None = None
    ) -> Histogram:
        return Histogram(
            name, text, labels or [], buckets=LATENCY_BUCKETS, registry=self.registry
        )
