"""
What is sent to the server and what is made of its answers, step by step.

No I/O: audio and answers go in with the time; messages to send and events to tell come
out. Where the client ends utterances a commit follows each end of speech; where the
server does, only what it can't know makes one: a flush, a jump of the media clock, an
utterance that is too long.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from captiond.engines.openai_realtime.cutter import KEPT, Cut, Cutter
from captiond.engines.openai_realtime.dialects import Dialect, Message
from captiond.engines.openai_realtime.dialects.said import (
    Committed,
    Completed,
    Failed,
    Interim,
    Said,
    SpeechBegan,
    SpeechStopped,
    Trouble,
)
from captiond.engines.openai_realtime.pcm import Converter
from captiond.engines.openai_realtime.steps import (
    End,
    ExchangeSetup,
    Expect,
    Fatal,
    Flush,
    Loss,
    Outcome,
    ToSend,
)
from captiond.engines.openai_realtime.turns import Turn, Turns
from captiond.engines.remote.activity import JUMP
from captiond.engines.remote.outgoing import AudioMessage, Endpoint
from captiond.engines.remote.transcript import Offsets, Transcript
from captiond.live.session import SessionEvent, SpeechEnded, SpeechStarted, Usage
from captiond.media.chunk import BYTES_PER_SAMPLE, SAMPLE_RATE

LEAST = 0.12
"""Seconds of audio that a commit needs: a tenth, and what the converter holds back."""

INSIDE = 0.001
"""Seconds before its end that are surely in an utterance."""

LATER = 0.5
"""Seconds after the time for a final until a server that owes one is given up."""

PATIENCE = 60.0
"""Seconds after which a transcript isn't waited for any more."""


class Exchange:
    """
    One session's exchange with a server.

    Args:
        dialect: How the server is spoken to.
        setup: Who ends utterances, and when.
        lost: Called with what is left out, and why.

    """

    def __init__(
        self,
        dialect: Dialect,
        setup: ExchangeSetup,
        *,
        lost: Callable[[Loss, str], None],
    ) -> None:
        self._dialect = dialect
        self._setup = setup
        self._lost = lost
        self._converter = Converter(dialect.rate)
        self._turns = Turns(by_server=setup.by_server, loose=setup.loose)
        self._cutter = Cutter(
            self._turns, limit=setup.max_utterance, by_server=setup.by_server
        )
        self._transcript = Transcript(
            finalise_timeout=setup.finalise_timeout, interims=setup.interims
        )
        self._tail: collections.deque[AudioMessage] = collections.deque()
        """The last audio sent, ``KEPT`` seconds of it."""
        self._due = 0.0
        """Monotonic time by which a server that is busy with an utterance must have
        ended it."""

    @property
    def ready(self) -> bool:
        """Whether anything may be sent now."""
        return self._dialect.ready and not self._turns.overfull

    @property
    def pending(self) -> bool:
        """Whether an answer may yet come for what was sent so far."""
        return self._transcript.pending

    @property
    def repeats(self) -> int:
        """Texts left out so far because they had been told."""
        return self._transcript.repeats

    # What is sent

    def send(self, step: ToSend, now: float) -> Outcome:
        """Take the next step of what is to be sent."""
        out = Outcome()
        match step:
            case AudioMessage():
                self._audio(step, now, out)
            case SpeechStarted():
                self._turns.speech_started(self._transcript.position - step.time)
                out.events += self._transcript.speech_started(step.time, now)
            case SpeechEnded():
                self._turns.speech_ended(self._transcript.position - step.time)
                out.events += self._transcript.speech_ended(step.time, now)
            case Endpoint():
                if not self._setup.by_server:
                    self._commit(now, out)
            case End():
                self._commit(now, out)
            case Flush():
                self._commit(now, out)
                out.events += self._transcript.flush()
            case Expect(vocabulary=vocabulary):
                out.messages += self._dialect.configure(vocabulary)
            case _:
                assert_never(step)
        return out

    def _audio(self, audio: AudioMessage, now: float, out: Outcome) -> None:
        if self._tail and abs(audio.start - self._transcript.position) > JUMP:
            # What comes now doesn't belong to the utterance before.
            self._commit(now, out)
            self._tail.clear()
        out.messages += self._append(audio.pcm)
        self._turns.audio(audio.seconds)
        out.events += self._transcript.audio(audio.start, audio.seconds, now)
        self._tail.append(audio)
        while sum(each.seconds for each in self._tail) - self._tail[0].seconds >= KEPT:
            self._tail.popleft()
        cut = self._cutter.push(audio)
        if cut is Cut.COMMIT:
            self._commit(now, out)
        elif cut is Cut.CLEAR:
            self._clear(now, out)

    def _commit(self, now: float, out: Outcome) -> None:
        length = self._turns.length
        if not self._turns.worth_it or length <= 0:
            return
        if length < LEAST and not self._setup.by_server:
            out.messages += self._append(_silence(LEAST - length))
        self._ask(length, now, out)
        out.events += self._transcript.endpoint(now)

    def _ask(self, length: float, now: float, out: Outcome) -> None:
        out.messages += self._dialect.commit(self._turns.asked())
        # What was sent at once takes a while, and the transcript decides before.
        self._due = now + length + self._setup.finalise_timeout + LATER

    def _clear(self, now: float, out: Outcome) -> None:
        messages = self._dialect.clear()
        if messages is None:
            # An utterance without words is as good.
            self._ask(self._turns.length, now, out)
            return
        out.messages += messages
        for audio in self._tail:
            out.messages += self._append(audio.pcm)
        self._turns.cleared(sum(audio.seconds for audio in self._tail))

    def _append(self, pcm: bytes) -> list[Message]:
        converted = self._converter.convert(pcm)
        return self._dialect.audio(converted) if converted else []

    # What the server says

    def receive(self, message: Mapping[str, Any], now: float) -> list[SessionEvent]:
        """
        Take a message of the server.

        Raises:
            Malformed: If it can't be understood.
            Fatal: If it ends the session.

        """
        said = self._dialect.decode(message)
        events = self._transcript.alive(now)
        for each in said:
            events += self._hear(each, now)
        return events

    def _hear(self, said: Said, now: float) -> list[SessionEvent]:
        match said:
            case Committed():
                return self._committed(said, now)
            case Interim():
                return self._interim(said, now)
            case Completed():
                return self._completed(said, now)
            case Failed():
                return self._failed(said, now)
            case SpeechBegan(offset=offset):
                self._turns.server_started(offset)
                if offset is not None:
                    return self._transcript.service_started(offset, now)
            case SpeechStopped(offset=offset):
                self._turns.server_stopped(offset, self._setup.silence)
            case Trouble():
                self._trouble(said)
            case _:
                pass  # a change of the words to expect was taken
        return []

    def _committed(self, said: Committed, now: float) -> list[SessionEvent]:
        turn = self._turns.committed(said.item, said.previous, now)
        if turn is None:
            return []
        return self._announce(turn, now) + self._transcript.complete(now, key=turn.key)

    def _interim(self, said: Interim, now: float) -> list[SessionEvent]:
        turn = self._turns.spoken_of(said.item)
        if turn is None:
            return []
        turn.text = turn.text + said.text if said.adds else said.text
        return self._announce(turn, now) + self._transcript.interim(
            turn.text, now, key=turn.key, language=self._setup.language
        )

    def _completed(self, said: Completed, now: float) -> list[SessionEvent]:
        turn = self._over(said.item)
        if turn is None:
            return []
        events = self._final(turn, said.text, said.language, now)
        usage = Usage(
            input_tokens=said.input_tokens,
            output_tokens=said.output_tokens,
            audio_seconds=said.audio_seconds,
        )
        return events if usage == Usage() else [*events, usage]

    def _failed(self, said: Failed, now: float) -> list[SessionEvent]:
        turn = self._over(said.item)
        if turn is None:
            return []
        self._lost(Loss.FAILED, said.reason)
        # What was shown of it is better than nothing.
        return self._final(turn, turn.text, None, now)

    def _over(self, item: str) -> Turn | None:
        turn = self._turns.over(item)
        if turn is None and not self._turns.is_closed(item):
            self._lost(Loss.UNKNOWN, f"nothing is known of the item {item}")
        return turn

    def _final(
        self, turn: Turn, text: str, language: str | None, now: float
    ) -> list[SessionEvent]:
        return self._announce(turn, now) + self._transcript.final(
            text,
            now,
            key=turn.key,
            offsets=_offsets(turn),
            language=language or self._setup.language,
        )

    def _announce(self, turn: Turn, now: float) -> list[SessionEvent]:
        events: list[SessionEvent] = []
        if turn.announced:
            return events
        for each in [*self._turns.up_to(turn), turn]:
            if not each.announced:
                each.announced = True
                events += self._transcript.announce(each.key, now)
        return events

    def _trouble(self, trouble: Trouble) -> None:
        if trouble.about is not None:
            self._turns.refused(trouble.about)
        if trouble.fatal:
            raise Fatal(trouble)
        self._lost(Loss.REFUSED, trouble.message)

    # What time does

    def tick(self, now: float) -> list[SessionEvent]:
        """End what waited long enough; call it a few times a second."""
        for _ in range(self._turns.forget(now - PATIENCE)):
            self._lost(Loss.MISSING, f"an item had no transcript in {PATIENCE:g} s")
        events = self._transcript.tick(now)
        if not self._dialect.ready and now > self._due:
            raise Fatal(
                Trouble(
                    code="silent",
                    message="it doesn't finish an utterance, and takes no audio until",
                    fatal=True,
                    retryable=True,
                )
            )
        return events

    def finish(self, now: float) -> list[SessionEvent]:
        """Wait no longer: what was said last of each utterance is final."""
        return self._transcript.finish(now)


def _offsets(turn: Turn) -> Offsets:
    if turn.end is None:
        # The local detector knows better where speech was.
        return Offsets()
    start = turn.began if turn.start is None else turn.start
    if turn.guessed:
        return Offsets(end=turn.end - INSIDE)
    # Where the media clock jumps, the end is before the jump.
    return Offsets(start=start, end=turn.end - INSIDE)


def _silence(seconds: float) -> bytes:
    return bytes(round(seconds * SAMPLE_RATE + 1) * BYTES_PER_SAMPLE)
