"""
One live session with Gemini.

Decides nothing itself: it moves audio and messages between the line to the service and
those who know what they mean. Senders take turns, and one task keeps the time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

from google.genai import types

from captiond import logs
from captiond.clock import monotonic
from captiond.engines.gemini.line import Connection, Line
from captiond.engines.gemini.messages import Messages
from captiond.engines.gemini.profile import Profile, vocabulary
from captiond.engines.remote.activity import ActivityDetector, Tuning
from captiond.engines.remote.faults import Faults
from captiond.engines.remote.outgoing import AudioMessage, Endpoint, Outgoing, Step
from captiond.engines.remote.transcript import Transcript
from captiond.errors import EngineError
from captiond.live.engine import SessionContext
from captiond.live.mailbox import SessionMailbox
from captiond.live.session import (
    Closed,
    GoingAway,
    Opened,
    SessionEvent,
    SpeechEnded,
    SpeechStarted,
    TextPurpose,
    ToolResponse,
    VideoImage,
)
from captiond.media.chunk import SAMPLE_RATE, AudioChunk
from captiond.metrics import Metrics

if TYPE_CHECKING:
    from google.genai.live import AsyncSession

TICK = 0.25
"""Seconds between two looks at what waits for an answer."""

LONGEST = 45.0
"""Seconds of speech without a pause after which its end is asked for all the same: the
service makes utterances itself, but what isn't final yet has to be kept."""

RENEWAL = 30.0
"""Seconds within which a session with another vocabulary should take over."""


class GeminiSession:
    """
    One live session: see :class:`captiond.live.session.LiveSession`.

    Args:
        connection: Connects when it is entered.
        profile: What the session can do.
        context: What earlier sessions left.
        faults: Tells the service's failures.
        metrics: Where texts left out are counted.
        stream: Name of the stream, for logs.

    """

    def __init__(
        self,
        *,
        connection: Connection,
        profile: Profile,
        context: SessionContext,
        faults: Faults,
        metrics: Metrics,
        stream: str,
    ) -> None:
        self.capabilities = profile.capabilities
        self._profile = profile
        self._context = context
        self._metrics = metrics
        self._log = logs.get("gemini", stream=stream)
        self._mailbox = SessionMailbox()
        tuning = Tuning(hangover=profile.pause, longest=LONGEST)
        self._outgoing = Outgoing(detector=ActivityDetector(tuning))
        self._transcript = Transcript(finalise_timeout=profile.finalise_timeout)
        self._messages = Messages(self._transcript, agent=profile.is_agent)
        self._vocabulary = vocabulary(context.vocabulary)
        self._line = Line(
            connection,
            faults=faults,
            log=self._log,
            on_accepted=lambda: self._mailbox.put(Opened(engine=profile.engine_name)),
            on_message=self._take,
            on_unreadable=self._skip,
            on_failed=self._failed,
        )
        self._clock: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        """Held by whoever sends: audio must stay in order."""
        self._answered = asyncio.Event()
        """Set at each step of the transcript, for whoever waits for its end."""
        self._repeats = 0
        self._unreadable_logged = logs.Throttle(
            lambda count: self._log.warning("unreadable messages", count=count)
        )

    # The engine's side

    async def open(self) -> None:
        """
        Connect; return when the service has accepted the setup.

        Raises:
            EngineError: If it hasn't.

        """
        try:
            await self._line.open()
            if self._profile.is_agent and self._context.handle is None:
                await self._tell(self._context.text)
        except BaseException:
            self.abandon()
            # What was begun has ended before anybody is told.
            await self._line.wait_gone()
            raise
        self._clock = asyncio.create_task(self._tick())

    def fail(self, error: EngineError) -> None:
        """End by an error."""
        self._mailbox.fail(error)
        self._cut()

    async def wait_gone(self) -> None:
        """Wait until the connection is gone; it is cut if that takes long."""
        await self._line.wait_gone()

    @property
    def gone(self) -> bool:
        """Whether the connection is gone."""
        return self._line.gone

    # The stream's side

    async def send_audio(self, chunk: AudioChunk) -> None:
        """
        Send audio; wait while the service doesn't take it.

        Raises:
            EngineError: If the session has ended.

        """
        self._mailbox.check()
        async with self._turn:
            await self._steps(self._outgoing.push(chunk))

    async def send_video(self, image: VideoImage) -> None:
        """
        Send a picture.

        Raises:
            EngineError: If the session has ended.

        """
        if not self.capabilities.video:
            self._mailbox.refuse("video")
            return
        self._mailbox.check()
        async with self._sending() as live:
            await live.send_realtime_input(
                video=types.Blob(data=image.jpeg, mime_type="image/jpeg")
            )

    async def send_text(
        self, text: str, purpose: TextPurpose = TextPurpose.QUESTION
    ) -> None:
        """
        Send a question or context; another vocabulary needs another session.

        Raises:
            EngineError: If the session has ended.

        """
        if purpose is TextPurpose.VOCABULARY:
            self._take_vocabulary(text)
        elif not self.capabilities.text:
            self._mailbox.refuse("text")
        elif purpose is TextPurpose.CONTEXT:
            self._mailbox.check()
            await self._tell((text,))
        else:
            self._mailbox.check()
            async with self._sending() as live:
                await live.send_realtime_input(text=text)

    async def send_tool_response(self, response: ToolResponse) -> None:
        """
        Answer a tool call; an answer that nobody waits for is left out.

        Raises:
            EngineError: If the session has ended.

        """
        if not self.capabilities.tools:
            self._mailbox.refuse("tools")
            return
        self._mailbox.check()
        name = self._messages.answered(response.call)
        if name is None:
            self._log.warning("answer to no tool call", call=response.call[:64])
            return
        async with self._sending() as live:
            await live.send_tool_response(
                function_responses=types.FunctionResponse(
                    id=response.call, name=name, response=dict(response.result)
                )
            )

    async def interrupt(self) -> None:
        """
        Stop what the model is generating.

        Raises:
            EngineError: If the session has ended.

        """
        if not self.capabilities.interrupt:
            self._mailbox.refuse("interrupt")
            return
        self._mailbox.check()
        self._put(self._messages.interrupt())

    async def flush(self) -> None:
        """
        Ask for finals of everything sent.

        Raises:
            EngineError: If the session has ended.

        """
        self._mailbox.check()
        async with self._turn:
            await self._send_rest()
            self._put(self._transcript.flush())

    def receive(self) -> AsyncIterator[SessionEvent]:
        """Iterate over the events until the session ends."""
        return self._mailbox.receive()

    async def close(self) -> None:
        """Flush, wait for the last final to be received, and close."""
        if self._mailbox.begin_closing():
            # A service that can't be sent to or says nothing ends the session too.
            with contextlib.suppress(EngineError, TimeoutError):
                async with asyncio.timeout(2 * self._profile.finalise_timeout):
                    async with self._turn:
                        await self._send_rest()
                    await self._wait_answered()
            self._put(self._transcript.finish(monotonic()))
            await self._line.leave()
            self._mailbox.put(Closed())
            self._cut()
        await self._mailbox.wait_ended()

    def abandon(self) -> None:
        """End at once, without answers; never raises, also after the end."""
        self._mailbox.abandon()
        self._cut()

    # Sending

    async def _steps(self, steps: Iterable[Step]) -> None:
        for step in steps:
            now = monotonic()
            match step:
                case AudioMessage():
                    await self._send_audio(step)
                case SpeechStarted():
                    self._put(self._transcript.speech_started(step.time, now))
                case SpeechEnded():
                    self._put(self._transcript.speech_ended(step.time, now))
                case Endpoint():
                    await self._send_endpoint()

    async def _send_audio(self, message: AudioMessage) -> None:
        blob = types.Blob(data=message.pcm, mime_type=f"audio/pcm;rate={SAMPLE_RATE}")
        async with self._line.speaking() as live:
            await live.send_realtime_input(audio=blob)
        events = self._transcript.audio(message.start, message.seconds, monotonic())
        self._put(events)

    async def _send_endpoint(self) -> None:
        async with self._line.speaking() as live:
            await live.send_realtime_input(audio_stream_end=True)
        self._put(self._transcript.endpoint(monotonic()))

    async def _send_rest(self) -> None:
        await self._steps(self._outgoing.flush())
        await self._send_endpoint()

    async def _tell(self, texts: Iterable[str]) -> None:
        contents = [
            types.Content(role="user", parts=[types.Part(text=text)])
            for text in texts
            if text
        ]
        if not contents:
            return
        async with self._sending() as live:
            await live.send_client_content(
                turns=[*contents],
                turn_complete=False,
            )

    def _take_vocabulary(self, text: str) -> None:
        if not self.capabilities.vocabulary:
            self._mailbox.refuse("vocabulary")
            return
        self._mailbox.check()
        words = vocabulary(text.splitlines())
        if words != self._vocabulary:
            self._vocabulary = words
            self._mailbox.put(GoingAway(time_left=RENEWAL, reason="vocabulary changed"))

    @contextlib.asynccontextmanager
    async def _sending(self) -> AsyncIterator[AsyncSession]:
        async with self._turn, self._line.speaking() as live:
            yield live

    # What the line tells

    def _take(self, message: types.LiveServerMessage) -> None:
        self._put(self._messages.take(message, monotonic()))
        repeats = self._transcript.repeats - self._repeats
        if repeats:
            self._repeats += repeats
            self._metrics.events_discarded.labels("repeated").inc(repeats)

    def _skip(self) -> None:
        self._unreadable_logged.hit()
        self._metrics.events_discarded.labels("unreadable").inc()
        self._put(self._transcript.alive(monotonic()))

    def _failed(self, error: EngineError) -> None:
        if self._mailbox.closing:
            # Nobody will ask again for what was said last.
            self._put(self._transcript.finish(monotonic()))
        self.fail(error)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self._put(self._transcript.tick(monotonic()))

    async def _wait_answered(self) -> None:
        while self._transcript.pending and not self._mailbox.ended:
            self._answered.clear()
            await self._answered.wait()

    def _cut(self) -> None:
        self._line.cut()
        if self._clock is not None:
            self._clock.cancel()

    def _put(self, events: Iterable[SessionEvent]) -> None:
        for event in events:
            self._mailbox.put(event)
        if self._mailbox.error is not None:
            self._cut()  # nobody reads, and so nobody will abandon it soon
        self._answered.set()
