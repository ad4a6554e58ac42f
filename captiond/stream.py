"""
One live stream: a publisher's audio to an engine, its hypotheses to the hub.

A stream outlives its publishers: when one leaves it pauses, and the next one goes on
in the same log, on the same media clock and with the next cue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import assert_never

from captiond import logs
from captiond.captions.cues import CueBuilder, Utterance
from captiond.clock import ArrivalClock, monotonic
from captiond.config import Config
from captiond.events import Caption, Gap, MediaTime, Status, StreamState
from captiond.hub.hub import Channel, Hub
from captiond.ingest.peer import Peer
from captiond.live.session import Engine, Hypothesis
from captiond.live.supervisor import (
    Degraded,
    SessionLost,
    Supervisor,
    SupervisorEvent,
)
from captiond.media.audio_path import Output
from captiond.media.chunk import AudioChunk
from captiond.metrics import Metrics
from captiond.recent import RecentLatencies

FLUSH_TIMEOUT = 10.0
"""Seconds that the last words of a publisher may take."""


class Stream:
    """
    One stream of the daemon.

    Args:
        channel: Its log and readers.
        hub: Publishes its events.
        engine: Turns its audio into text.
        config: Time-outs and bounds.
        metrics: Where latencies are measured.

    """

    def __init__(
        self,
        channel: Channel,
        hub: Hub,
        engine: Engine,
        *,
        config: Config,
        metrics: Metrics,
    ) -> None:
        self.channel = channel
        self.publisher: Peer | None = None
        self.running = False
        self.latencies = RecentLatencies()
        self.cues = 0
        self.words = 0
        self._hub = hub
        self._engine = engine
        self._config = config
        self._metrics = metrics
        self._log = logs.get("stream", stream=channel.log.name)
        self._supervisor: Supervisor | None = None
        self._builder = CueBuilder()
        self._arrivals = ArrivalClock()
        self._began: float | None = None
        """Monotonic time of the media clock's zero."""
        self._position = MediaTime(0.0)
        self._end = asyncio.Event()
        self._linger: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """The stream's name."""
        return self.channel.log.name

    @property
    def position(self) -> MediaTime:
        """Media time after the last sample that came."""
        return self._position

    @property
    def lag(self) -> float:
        """Seconds of audio that wait for the engine."""
        return self._supervisor.lag if self._supervisor is not None else 0.0

    def connect(
        self, peer: Peer, start: Callable[[Coroutine[None, None, None]], None]
    ) -> None:
        """
        Let a publisher speak on this stream; an older one is replaced.

        Args:
            peer: The publisher.
            start: Runs the stream's life, if it has none now.

        """
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._end.clear()
        if not self.running:
            self.running = True
            self._supervisor = Supervisor(
                self._engine,
                self.name,
                config=self._config.engine,
                metrics=self._metrics,
                on_event=self._on_event,
            )
            start(self._run(self._supervisor))
        older = self.publisher
        if older is not None:
            older.finish()
            older.end("replaced by a newer publisher")
        self.publisher = peer
        if self.channel.log.state is not StreamState.LIVE:
            self._publish_state(StreamState.LIVE, "a publisher connected")

    async def disconnect(self, peer: Peer, reason: str) -> None:
        """Deliver a publisher's last words, then wait for the next one."""
        if peer is not self.publisher:
            return
        assert self._supervisor is not None
        await self._flush(self._supervisor)
        if peer is not self.publisher:
            return  # another one came while the last words were spoken
        self.publisher = None
        self._publish_state(StreamState.PAUSED, reason)
        self._linger = asyncio.get_running_loop().call_later(
            self._config.stream.linger, self._end.set
        )

    def end(self) -> None:
        """End the stream as soon as its last words are out."""
        self._end.set()

    def origin(self, arrival: float) -> MediaTime:
        """Return the media time of a publisher's first sample."""
        if self._began is None:
            self._began = arrival
        # Never before what was heard, and otherwise as late as the wall says.
        return MediaTime(max(self._position, arrival - self._began))

    def receive(self, peer: Peer, outputs: list[Output]) -> None:
        """Take audio and gaps from the publisher that has the stream."""
        if peer is not self.publisher or self._supervisor is None:
            self._metrics.audio_discarded_seconds.labels("not_the_publisher").inc(
                sum(each.duration for each in outputs if isinstance(each, AudioChunk))
            )
            return
        for output in outputs:
            match output:
                case AudioChunk():
                    self._arrivals.mark(output.end, output.arrival)
                    self._position = output.end
                    self._supervisor.push(output)
                case Gap():
                    self._hub.publish(self.channel, output)
                case _:
                    assert_never(output)

    async def _run(self, supervisor: Supervisor) -> None:
        """Live until nobody publishes for the linger time. Never raises."""
        self._log.info("stream opened", epoch=self.channel.log.epoch)
        reason = "nobody publishes"
        try:
            await self._live(supervisor)
        except asyncio.CancelledError:
            reason = "abandoned"
            raise
        except Exception:  # noqa: BLE001 - the outermost frame of a stream
            reason = "failed"
            self._log.exception("stream failed")
        finally:
            self._log.info(
                "stream closed",
                reason=reason,
                seconds=round(self._position, 1),
                cues=self.cues,
                words=self.words,
            )
            if self._supervisor is supervisor and self.running:
                self._close_life(reason)

    async def _live(self, supervisor: Supervisor) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(supervisor.run())
            await self._end.wait()
            self._close_life("nobody publishes")
            supervisor.stop()

    def _close_life(self, reason: str) -> None:
        """Close what is open; from here on a publisher starts a new life."""
        self._finish_cue()
        self.running = False
        self.publisher = None
        self._publish_state(StreamState.ENDED, reason)

    async def _flush(self, supervisor: Supervisor) -> None:
        if not await supervisor.flush(timeout=FLUSH_TIMEOUT):
            self._log.warning("the engine didn't finish", lag=round(self.lag, 1))
        self._finish_cue()

    def _finish_cue(self) -> None:
        for caption in self._builder.finish():
            self._publish_caption(caption)

    def _on_event(self, event: SupervisorEvent) -> None:
        match event:
            case Hypothesis():
                self._on_hypothesis(event)
            case SessionLost():
                self._builder.session_lost()
            case Gap():
                self._hub.publish(self.channel, event)
            case Degraded():
                state = StreamState.DEGRADED if event.degraded else StreamState.LIVE
                self._publish_state(state, event.reason)
            case _:
                pass  # nothing that readers see

    def _on_hypothesis(self, event: Hypothesis) -> None:
        if event.heard is not None and event.produced is not None:
            stage = self._metrics.stage_seconds
            stage.labels("engine").observe(max(0.0, event.produced - event.heard))
            stage.labels("engine_publish").observe(
                max(0.0, monotonic() - event.produced)
            )
        utterance = Utterance(
            id=event.utterance,
            final=event.final,
            start=event.start,
            end=event.end,
            text=event.text,
            words=event.words,
            language=event.language,
            engine=self._engine.name,
        )
        for caption in self._builder.update(utterance):
            self._publish_caption(caption)

    def _publish_caption(self, caption: Caption) -> None:
        arrival = self._arrivals.arrival_of(caption.end)
        self._hub.publish(self.channel, caption, arrival=arrival)
        written = monotonic()
        state = "final" if caption.final else "interim"
        if arrival is not None:
            latency = max(0.0, written - arrival)
            self._metrics.caption_latency_seconds.labels(state).observe(latency)
            self.latencies.add(state, latency)
        if caption.rev == 1:
            onset = self._arrivals.arrival_of(caption.start)
            if onset is not None:
                self._metrics.first_interim_seconds.observe(max(0.0, written - onset))
                self.latencies.add("first_interim", max(0.0, written - onset))
        if caption.final:
            count = len(caption.text.split())
            self.cues += 1
            self.words += count
            self._metrics.cues.inc()
            self._metrics.words.inc(count)

    def _publish_state(self, state: StreamState, reason: str) -> None:
        self._hub.publish(self.channel, Status(state=state, reason=reason))
