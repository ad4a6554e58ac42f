"""
The live session: one persistent, full-duplex, stateful conversation with an engine.

The contract follows ``client.aio.live.connect`` of Gemini Live: input and output are
independent streams, neither waits for the other, and the state lives in the session.
An engine is anything that opens such sessions: see :mod:`captiond.live.engine` for how
one is written and registered.

Rules for a session:

* **Input and output are independent.** ``send_*`` may be called while ``receive``
  waits and before anybody receives, from several tasks of one event loop. A ``send_*``
  that the engine can't take waits; its caller sets the time-out.
* **Times are the stream's.** A chunk carries its place on the media clock, and every
  event speaks of that clock. Chunks come in order; where one doesn't follow the last
  the audio in between never was, and an utterance ends there.
* **Hypotheses replace each other.** Those of one utterance are told in order, at most
  one utterance is open at a time, and each ends in at most one final, after which
  nothing more is said about it. A final without text withdraws the utterance.
* **Settled audio is forgotten.** A session tells with :class:`Settled` what it won't
  need again and how far it has heard, also in silence: whoever owns the session sends
  what is not settled to the next one when this one ends, and takes audio that goes in
  without being heard for a stall.
* **receive is endless.** It ends after ``Closed`` or ``SessionError``, never between
  utterances or turns.
* **Failures end the session**: told as :class:`SessionError`, or raised as
  :class:`captiond.errors.EngineError`.
* **What the engine can't do** is answered by :class:`Unsupported`, never by an
  exception and never by silence.
* A session that needs to be replaced by a new one tells so by :class:`GoingAway`, also
  when only its own settings have to change.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from captiond.events import MediaTime, Word
from captiond.media.chunk import AudioChunk


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an engine can do, so that nobody guesses."""

    interims: bool = True
    """Tells what it believes before an utterance has ended."""

    word_times: bool = False
    """Finals carry their words with times."""

    languages: tuple[str, ...] = ()
    """BCP 47 tags; empty means that the engine detects the language itself."""

    vocabulary: bool = False
    """Takes words that it should expect."""

    text: bool = False
    """Takes context and questions, and may answer by :class:`ModelText`."""

    video: bool = False
    """Takes pictures."""

    tools: bool = False
    """May ask for tools to be run."""

    interrupt: bool = False
    """Can be stopped while it generates."""

    resumable: bool = False
    """Has state that a later session takes over by a handle; only one session of a
    stream may be open at a time."""

    max_session_seconds: float | None = None
    """The engine ends a session that is older; None means never."""


class TextPurpose(enum.StrEnum):
    """What a text is for."""

    QUESTION = "question"
    """Something to answer."""

    CONTEXT = "context"
    """Something to know: title, names, what was said before."""

    VOCABULARY = "vocabulary"
    """Words or phrases to expect, one a line; they replace those sent before."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VideoImage:
    """One sampled picture: JPEG, long edge at most 768 pixels."""

    time: MediaTime
    jpeg: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ToolResponse:
    """The answer to a :class:`ToolCall`."""

    call: str
    result: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The engine accepted the session and hears audio; the first event."""

    engine: str
    """Name that captions carry, such as ``moonshine/tiny-en``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """Somebody began to speak at ``time``."""

    time: MediaTime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SpeechEnded:
    """Speech ended at ``time``."""

    time: MediaTime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What the engine now believes of one utterance; replaces the one before."""

    utterance: str
    """Identifies the utterance within its session."""

    final: bool
    start: MediaTime
    end: MediaTime
    text: str
    words: tuple[Word, ...] = ()
    language: str | None = None
    heard: float | None = None
    """Monotonic time at which the engine had the audio that this is about."""

    produced: float | None = None
    """Monotonic time at which the engine had the text."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """No later hypothesis will need audio before ``time``; it may be forgotten."""

    time: MediaTime
    heard: MediaTime
    """The engine has processed all audio before this position."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelText:
    """Text that the model says itself, as opposed to what it hears; a piece of it."""

    text: str
    """To be joined to the piece before, until the turn is complete or interrupted."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """New input stopped what the model was generating."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TurnComplete:
    """The model finished its turn."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flushed:
    """
    Everything sent before ``flush`` has been answered.

    It doesn't come while an engine says nothing at all: whoever asked stops waiting.
    """


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """The model asks for a tool to be run."""

    call: str
    name: str
    arguments: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallCancelled:
    """The answer to a tool call is no longer wanted."""

    call: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the session consumed since the last such event, as far as it is told."""

    input_tokens: int = 0
    output_tokens: int = 0
    audio_seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resumable:
    """A later session may take over this one's state by the handle; replaces others."""

    handle: str | None
    """None while the state can't be taken over."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GoingAway:
    """This session ends, or should be replaced, within ``time_left`` seconds."""

    time_left: float
    reason: str = "the engine ends the session"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """The engine lacks the capability that was asked for."""

    capability: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionError:
    """The session failed; the last event. Fields as in ``EngineError``."""

    code: str
    reason: str
    retryable: bool
    retry_after: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The session ended in good order; the last event."""


SessionEvent = (
    Opened
    | SpeechStarted
    | SpeechEnded
    | Hypothesis
    | Settled
    | ModelText
    | Interrupted
    | TurnComplete
    | Flushed
    | ToolCall
    | ToolCallCancelled
    | Usage
    | Resumable
    | GoingAway
    | Unsupported
    | SessionError
    | Closed
)


class LiveSession(Protocol):
    """One conversation with an engine. See the module for its rules."""

    @property
    def capabilities(self) -> Capabilities:
        """What this session's engine can do."""

    async def send_audio(self, chunk: AudioChunk) -> None:
        """Send audio; chunks are in order, a jump in time ends the utterance."""

    async def send_video(self, image: VideoImage) -> None:
        """Send a picture."""

    async def send_text(
        self, text: str, purpose: TextPurpose = TextPurpose.QUESTION
    ) -> None:
        """Send a question, context or vocabulary."""

    async def send_tool_response(self, response: ToolResponse) -> None:
        """Answer a tool call."""

    async def interrupt(self) -> None:
        """Stop what the model is generating."""

    async def flush(self) -> None:
        """Ask for finals of everything sent; :class:`Flushed` tells when done."""

    def receive(self) -> AsyncIterator[SessionEvent]:
        """Iterate over the session's events until it ends; one reader at a time."""

    async def close(self) -> None:
        """Flush, wait for the last final to be received, and close."""

    def abandon(self) -> None:
        """
        End at once, without answers; nothing follows.

        May be called at any time, also after the end.
        """
