"""
What every engine must do: the contract of :mod:`captiond.live.session` as tests.

An engine's own tests derive a class ``Test…`` from :class:`EngineConformance` and give
it a fixture ``engine``, started. The speech is the reading that ships with the local
model; :attr:`EngineConformance.max_wer` says how well the engine hears it.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence

import pytest

from captiond.errors import EngineError
from captiond.events import MediaTime
from captiond.live.engine import Engine, SessionContext
from captiond.live.session import (
    Closed,
    Flushed,
    Hypothesis,
    Interrupted,
    LiveSession,
    Opened,
    SessionError,
    SessionEvent,
    Settled,
    TextPurpose,
    ToolResponse,
    Unsupported,
    VideoImage,
)
from captiond.media.chunk import AudioChunk
from tests.engines.moonshine.speech import SECONDS, pcm, word_error_rate

CHUNK_BYTES = 1280
BYTES_PER_SECOND = 32_000

TIMEOUT = 60.0
"""Bound of every wait; no engine takes so long."""

SILENCE = bytes(2 * BYTES_PER_SECOND)


def chunks(data: bytes, *, start: float = 0.0) -> list[AudioChunk]:
    """Cut audio that begins at a media time."""
    return [
        AudioChunk(
            start=MediaTime(start + at / BYTES_PER_SECOND),
            pcm=data[at : at + CHUNK_BYTES],
            arrival=0.0,
            decoded=0.0,
        )
        for at in range(0, len(data), CHUNK_BYTES)
    ]


@dataclasses.dataclass(slots=True)
class Heard:
    """Everything that a session said, in order."""

    events: list[SessionEvent]

    def of(self, kind: type[SessionEvent]) -> list[SessionEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def hypotheses(self) -> list[Hypothesis]:
        return [event for event in self.events if isinstance(event, Hypothesis)]

    @property
    def finals(self) -> list[Hypothesis]:
        return [each for each in self.hypotheses if each.final]

    @property
    def settled(self) -> list[Settled]:
        return [event for event in self.events if isinstance(event, Settled)]

    @property
    def text(self) -> str:
        return " ".join(final.text for final in self.finals if final.text)


async def read_until(session: LiveSession, last: type[SessionEvent]) -> Heard:
    """Read events up to the first of a kind, or the end."""
    heard = Heard([])
    async with asyncio.timeout(TIMEOUT):
        async for event in session.receive():
            heard.events.append(event)
            if isinstance(event, last | SessionError):
                break
    return heard


async def say(
    session: LiveSession, data: Sequence[AudioChunk], *, last: type[SessionEvent]
) -> Heard:
    """Send audio and flush, or close, and read what is said meanwhile."""

    async def send() -> None:
        for chunk in data:
            await session.send_audio(chunk)
        if last is Flushed:
            await session.flush()
        else:
            await session.close()

    async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read_until(session, last))
        tasks.create_task(send())
    return reading.result()


class EngineConformance:
    """The tests; derive ``Test…`` from it."""

    max_wer: float | None = 0.2
    """Word error rate that the engine keeps within; None if it hears no words."""

    @pytest.fixture
    async def session(self, engine: Engine) -> AsyncIterator[LiveSession]:
        session = await engine.open(stream="demo", context=SessionContext())
        yield session
        session.abandon()

    async def test_a_session_can_what_its_engine_can(
        self, engine: Engine, session: LiveSession
    ) -> None:
        """Capabilities are the same for all sessions, and the engine is ready."""
        assert session.capabilities == engine.capabilities
        assert engine.not_ready is None

    async def test_opened_is_the_first_event(
        self, engine: Engine, session: LiveSession
    ) -> None:
        """It carries the name that captions carry."""
        heard = await say(session, [], last=Closed)

        assert heard.events[0] == Opened(engine=engine.name)
        assert heard.events[-1] == Closed()

    async def test_speech_becomes_words(self, session: LiveSession) -> None:
        """The words come, and flush() is answered after all of them."""
        heard = await say(session, chunks(pcm() + SILENCE), last=Flushed)

        assert heard.events[-1] == Flushed()
        assert heard.text
        if self.max_wer is not None:
            assert word_error_rate(heard.text) <= self.max_wer

    async def test_flush_asks_for_the_last_words(self, session: LiveSession) -> None:
        """They come without any silence after them, and again after more speech."""
        middle = int(5.3 * BYTES_PER_SECOND)
        first = await say(session, chunks(pcm()[:middle]), last=Flushed)
        second = await say(
            session,
            chunks(pcm()[middle:], start=middle / BYTES_PER_SECOND),
            last=Flushed,
        )

        assert first.events[-1] == second.events[-1] == Flushed()
        assert first.text
        assert second.text
        if self.max_wer is not None:
            text = f"{first.text} {second.text}"
            assert word_error_rate(text) <= self.max_wer + 0.1

    async def test_hypotheses_keep_the_rules(self, session: LiveSession) -> None:
        """One utterance is open at a time, and nothing follows its final."""
        data = pcm() + SILENCE
        heard = await say(session, chunks(data), last=Flushed)
        ended: set[str] = set()
        is_open: str | None = None
        for each in heard.hypotheses:
            assert each.utterance not in ended
            assert is_open in (None, each.utterance)
            assert 0.0 <= each.start <= each.end <= len(data) / BYTES_PER_SECOND + 0.01
            is_open = None if each.final else each.utterance
            if each.final:
                ended.add(each.utterance)
        starts = [final.start for final in heard.finals]

        assert is_open is None
        assert starts == sorted(starts)

    async def test_interims_and_word_times_are_as_told(
        self, engine: Engine, session: LiveSession
    ) -> None:
        """An engine that says it has them has them."""
        heard = await say(session, chunks(pcm() + SILENCE), last=Flushed)
        interims = [each for each in heard.hypotheses if not each.final]

        if engine.capabilities.interims:
            assert interims
        if engine.capabilities.word_times:
            for final in heard.finals:
                assert len(final.words) == len(final.text.split())
                assert all(word.start <= word.end for word in final.words)

    async def test_settled_audio_only_grows(self, session: LiveSession) -> None:
        """Never beyond what was heard, nor that beyond what was sent."""
        data = pcm() + SILENCE
        heard = await say(session, chunks(data), last=Flushed)
        end = len(data) / BYTES_PER_SECOND
        settled = heard.settled

        assert [each.time for each in settled] == sorted(each.time for each in settled)
        assert [each.heard for each in settled] == sorted(
            each.heard for each in settled
        )
        assert all(each.time <= each.heard <= end + 0.01 for each in settled)
        assert settled[-1].time >= end - 1.5

    async def test_no_word_is_final_in_audio_that_was_settled(
        self, session: LiveSession
    ) -> None:
        """What a session settles it won't speak of again."""
        heard = await say(session, chunks(pcm() + SILENCE), last=Flushed)
        settled = 0.0
        for event in heard.events:
            if isinstance(event, Settled):
                settled = max(settled, event.time)
            elif isinstance(event, Hypothesis) and event.text:
                assert event.end > settled - 0.5

    async def test_silence_is_heard_and_settled(self, session: LiveSession) -> None:
        """No words, and no audio that waits to be heard."""
        for chunk in chunks(bytes(6 * BYTES_PER_SECOND)):
            await session.send_audio(chunk)
        time, position = 0.0, 0.0
        async with asyncio.timeout(TIMEOUT):
            async for event in session.receive():
                assert not (isinstance(event, Hypothesis) and event.text)
                if isinstance(event, Settled):
                    time, position = event.time, event.heard
                if position >= 5.0 and time >= 4.0:
                    break

    async def test_sending_needs_no_receiver(self, session: LiveSession) -> None:
        """Everything can be sent before anybody reads."""
        async with asyncio.timeout(TIMEOUT):
            for chunk in chunks(pcm()):
                await session.send_audio(chunk)
            await session.flush()

        assert (await read_until(session, Flushed)).text

    async def test_times_are_the_streams(self, session: LiveSession) -> None:
        """A session may begin anywhere on the media clock."""
        heard = await say(session, chunks(pcm(), start=1000.0), last=Flushed)

        assert heard.finals
        assert all(
            1000.0 <= each.start <= each.end <= 1000.01 + SECONDS
            for each in heard.hypotheses
        )

    async def test_no_utterance_spans_a_jump(self, session: LiveSession) -> None:
        """Audio in between never was; what is before it ends there."""
        middle = int(5.3 * BYTES_PER_SECOND)
        before = chunks(pcm()[:middle])
        after = chunks(pcm()[middle:], start=100.0)
        heard = await say(session, [*before, *after], last=Flushed)

        assert heard.text
        for final in heard.finals:
            assert final.end <= 5.4 or final.start >= 99.0
        assert any(final.start >= 99.0 for final in heard.finals)

    async def test_closing_gives_the_last_words(self, session: LiveSession) -> None:
        """Finals first, then Closed, then nothing."""
        heard = await say(session, chunks(pcm()[: 3 * BYTES_PER_SECOND]), last=Closed)

        assert heard.text
        assert heard.events[-1] == Closed()
        async with asyncio.timeout(TIMEOUT):
            assert [event async for event in session.receive()] in ([], [Closed()])

    async def test_abandoned_session_ends_at_once(self, session: LiveSession) -> None:
        """receive() ends, also one that waits, and nothing can be sent."""
        for chunk in chunks(pcm()[:BYTES_PER_SECOND]):
            await session.send_audio(chunk)

        async def read() -> None:
            async for _ in session.receive():
                pass

        async with asyncio.timeout(TIMEOUT), asyncio.TaskGroup() as tasks:
            tasks.create_task(read())
            await asyncio.sleep(0.05)
            session.abandon()
            session.abandon()
        with pytest.raises(EngineError):
            await session.send_audio(chunks(SILENCE)[0])
        async with asyncio.timeout(TIMEOUT):
            await session.close()

    async def test_what_it_lacks_it_says(
        self, engine: Engine, session: LiveSession
    ) -> None:
        """Each input that isn't supported gets its answer, and the session goes on."""
        can = dataclasses.asdict(engine.capabilities)
        image = VideoImage(time=MediaTime(0.0), jpeg=TINY_JPEG)
        inputs = {
            "video": lambda: session.send_video(image),
            "text": lambda: session.send_text("Who speaks?"),
            "vocabulary": lambda: session.send_text("captiond", TextPurpose.VOCABULARY),
            "tools": lambda: session.send_tool_response(
                ToolResponse(call="nobody-asked", result={})
            ),
            "interrupt": session.interrupt,
        }
        lacking = [name for name in inputs if not can[name]]
        for name in lacking:
            await inputs[name]()
        heard = await say(session, chunks(pcm() + SILENCE), last=Flushed)
        refused = [e.capability for e in heard.events if isinstance(e, Unsupported)]

        assert refused == lacking
        assert heard.text

    async def test_what_it_has_it_does_not_refuse(
        self, engine: Engine, session: LiveSession
    ) -> None:
        """A text to an engine that takes texts is no error."""
        can = engine.capabilities
        if can.text:
            await session.send_text("The title is A Tale.", TextPurpose.CONTEXT)
            await session.send_text("Who speaks?")
        if can.vocabulary:
            await session.send_text("captiond\nDickens", TextPurpose.VOCABULARY)
        if can.interrupt:
            await session.interrupt()
        heard = await say(session, chunks(pcm() + SILENCE), last=Flushed)

        assert heard.of(Unsupported) == []
        assert heard.of(SessionError) == []
        assert heard.text
        if not can.interrupt:
            assert heard.of(Interrupted) == []

    async def test_sessions_are_independent(self, engine: Engine) -> None:
        """Two at once hear their own audio."""
        if engine.capabilities.resumable:
            pytest.skip("one session of a stream at a time")
        first = await engine.open(stream="first", context=SessionContext())
        second = await engine.open(stream="second", context=SessionContext())
        try:
            async with asyncio.TaskGroup() as tasks:
                speech = tasks.create_task(say(first, chunks(pcm()), last=Flushed))
                silence = tasks.create_task(
                    say(second, chunks(bytes(len(pcm()))), last=Flushed)
                )
        finally:
            first.abandon()
            second.abandon()

        assert speech.result().text
        assert not silence.result().text


TINY_JPEG = bytes.fromhex("ffd8ffdb004300") + bytes([1] * 64) + bytes.fromhex("ffd9")
"""Enough of a picture for an engine that won't look at it."""
