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
from captiond.errors import ControlError
from captiond.events import Caption, Gap, MediaTime, Status, StreamState
from captiond.hub.hub import Channel, Hub
from captiond.ingest.peer import Peer
from captiond.live.changes import Degraded, Rotated, SessionLost, SupervisorEvent
from captiond.live.inputs import Input, Interrupt, Text
from captiond.live.roster import Roster
from captiond.live.session import (
    Capabilities,
    Flushed,
    Hypothesis,
    Settled,
    TextPurpose,
    ToolResponse,
    VideoImage,
)
from captiond.live.supervisor import Supervisor
from captiond.media.audio_path import Output
from captiond.media.chunk import AudioChunk
from captiond.metrics import Metrics
from captiond.notes import Notes
from captiond.recent import RecentLatencies

FLUSH_TIMEOUT = 10.0
"""Seconds that the last words of a publisher may take."""

CLOSE_TIMEOUT = 2.0
"""Seconds that an engine may take to close a session that has nothing to say."""


class Stream:
    """
    One stream of the daemon.

    Args:
        channel: Its log and readers.
        hub: Publishes its events.
        roster: The engines that turn its audio into text.
        config: Time-outs and bounds.
        metrics: Where latencies are measured.

    """

    def __init__(
        self,
        channel: Channel,
        hub: Hub,
        roster: Roster,
        *,
        config: Config,
        metrics: Metrics,
    ) -> None:
        self.channel = channel
        self.publisher: Peer | None = None
        self.latencies = RecentLatencies()
        self.cues = 0
        self.words = 0
        self._hub = hub
        self._roster = roster
        self._config = config
        self._metrics = metrics
        self._log = logs.get("stream", stream=channel.log.name)
        self._supervisor: Supervisor | None = None
        """Of this life; None while the stream has none."""
        self._degraded = False
        self._builder = CueBuilder()
        self._notes = Notes()
        self._listeners: list[Callable[[SupervisorEvent], None]] = []
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
    def running(self) -> bool:
        """Whether the stream has a life: a publisher, or one that may come back."""
        return self._supervisor is not None

    @property
    def position(self) -> MediaTime:
        """Media time after the last sample that came."""
        return self._position

    @property
    def lag(self) -> float:
        """Seconds of audio that wait for the engine."""
        return self._supervisor.lag if self._supervisor is not None else 0.0

    @property
    def ring_depth(self) -> float:
        """Seconds of audio whose text is not final."""
        return self._supervisor.ring_depth if self._supervisor is not None else 0.0

    @property
    def engine(self) -> str:
        """Name of the engine that captions now; empty if none does."""
        return self._supervisor.engine if self._supervisor is not None else ""

    @property
    def capabilities(self) -> Capabilities | None:
        """What that engine can do."""
        return self._supervisor.capabilities if self._supervisor is not None else None

    @property
    def wants_pictures(self) -> bool:
        """Whether the engine takes pictures."""
        capabilities = self.capabilities
        return capabilities is not None and capabilities.video

    def send_text(self, text: str, purpose: TextPurpose = TextPurpose.QUESTION) -> None:
        """
        Send a question, context or vocabulary to the engine; never waits.

        Raises:
            ControlError: If that can't be done now; so do all like it.

        """
        self._send(Text(text, purpose))

    def interrupt(self) -> None:
        """Stop what the engine is generating."""
        self._send(Interrupt())

    def send_tool_response(self, response: ToolResponse) -> None:
        """Answer a tool call."""
        self._send(response)

    async def flush(self, timeout: float) -> bool:
        """Wait for finals of all that was heard; return False if it took longer."""
        return await self._living().flush(timeout=timeout)

    def switch_engine(self, name: str) -> None:
        """Caption with another engine from now on."""
        self._living().switch(name)

    def listen(self, listener: Callable[[SupervisorEvent], None]) -> Callable[[], None]:
        """
        Tell a listener every event of the live session; it must not wait or raise.

        Returns:
            What stops that.

        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _send(self, item: Input) -> None:
        self._living().send(item)

    def _living(self) -> Supervisor:
        if self._supervisor is None:
            raise ControlError("not_live", f"nobody publishes '{self.name}'")
        return self._supervisor

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
        if self._supervisor is None:
            self._supervisor = self._new_supervisor()
            start(self._run(self._supervisor))
        older = self.publisher
        if older is not None:
            older.finish()
            older.end("replaced by a newer publisher")
        self.publisher = peer
        self._tell_state("a publisher connected")

    async def disconnect(self, peer: Peer, reason: str) -> None:
        """Deliver a publisher's last words, then wait for the next one."""
        if peer is not self.publisher or self._supervisor is None:
            return
        if not await self._supervisor.flush(timeout=FLUSH_TIMEOUT):
            # The engine may come back while the stream lingers, and say them then.
            self._log.warning("last words are late", lag=round(self.lag, 1))
        if peer is not self.publisher:
            return  # another one came while the last words were spoken
        self.publisher = None
        self._tell_state(reason)
        self._linger = asyncio.get_running_loop().call_later(
            self._config.stream.linger, self._end.set
        )

    def end(self) -> None:
        """End the stream; its publishers have gone."""
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

    def receive_picture(self, peer: Peer, image: VideoImage) -> None:
        """Take a picture from the publisher that has the stream."""
        if peer is self.publisher and self.wants_pictures:
            self._send(image)
        else:
            self._metrics.inputs_discarded.labels("picture_unwanted").inc()

    def _new_supervisor(self) -> Supervisor:
        def on_event(event: SupervisorEvent) -> None:
            # What an earlier life of the stream still says is nobody's any more.
            if supervisor is self._supervisor:
                self._on_event(event)
            else:
                self._metrics.events_discarded.labels("stream_ended").inc()

        self._degraded = False
        supervisor = Supervisor(
            self._roster,
            self.name,
            config=self._config.engine,
            metrics=self._metrics,
            on_event=on_event,
        )
        return supervisor

    async def _run(self, supervisor: Supervisor) -> None:
        """Live until nobody publishes for the linger time. Never raises."""
        self._log.info("stream opened", epoch=self.channel.log.epoch)
        reason = "nobody publishes"
        try:
            await self._live(supervisor, reason)
        except asyncio.CancelledError:
            reason = "abandoned"
            raise
        except Exception:  # noqa: BLE001 - the outermost frame of a stream
            reason = "failed"
            self._log.exception("stream failed")
        finally:
            self._close_life(supervisor, reason)
            self._log.info(
                "stream closed",
                reason=reason,
                seconds=round(self._position, 1),
                cues=self.cues,
                words=self.words,
            )

    async def _live(self, supervisor: Supervisor, reason: str) -> None:
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(supervisor.run())
            # A publisher may have come in the moment the waiter was woken.
            while not self._end.is_set():
                await self._end.wait()
            self._close_life(supervisor, reason)
            supervisor.stop()
            await asyncio.wait({speaking}, timeout=CLOSE_TIMEOUT)
            speaking.cancel()

    def _close_life(self, supervisor: Supervisor, reason: str) -> None:
        """Close what is open; from here on a publisher starts a new life."""
        if supervisor is not self._supervisor:
            return
        self._publish_all(self._builder.finish())
        for unheard in supervisor.give_up_unheard():
            self._hub.publish(self.channel, unheard)
        self._notes = Notes()
        self._supervisor = None
        if self.publisher is not None:
            self.publisher.end(f"the stream ended: {reason}")
            self.publisher = None
        self._tell_state(reason)

    def _on_event(self, event: SupervisorEvent) -> None:
        for listener in tuple(self._listeners):
            listener(event)
        for note in self._notes.follow(event):
            self._hub.publish(self.channel, note)
        match event:
            case Hypothesis():
                self._on_hypothesis(event)
            case Settled():
                self._publish_all(self._builder.settled(event.time))
            case Flushed():
                self._publish_all(self._builder.flushed())
            case SessionLost() | Rotated():
                self._builder.session_lost()
            case Gap():
                self._hub.publish(self.channel, event)
            case Degraded():
                self._degraded = event.degraded
                self._tell_state(event.reason)
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
            engine=self.engine,
        )
        self._publish_all(self._builder.update(utterance))

    def _publish_all(self, captions: list[Caption]) -> None:
        for caption in captions:
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

    def _tell_state(self, reason: str) -> None:
        """Tell readers what the stream is doing, if that has changed."""
        if self._supervisor is None:
            state = StreamState.ENDED
        elif self.publisher is None:
            state = StreamState.PAUSED
        elif self._degraded:
            state = StreamState.DEGRADED
        else:
            state = StreamState.LIVE
        if state is not self.channel.log.state:
            self._hub.publish(self.channel, Status(state=state, reason=reason))
