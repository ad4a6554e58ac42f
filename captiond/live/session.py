"""
The live session: one persistent, full-duplex, stateful conversation with an engine.

The contract follows ``client.aio.live.connect`` of Gemini Live: input and output are
independent streams, neither waits for the other, and the state lives in the session.
An engine is anything that opens such sessions; it registers its :class:`Engine`
factory in the entry-point group ``captiond.engines``.

Rules for an engine:

* ``send_*`` may be called while ``receive`` waits, from the same event loop.
* ``receive`` is endless. It ends after ``Closed``, never between utterances.
* Failures are told as :class:`SessionError` events, or raised as
  :class:`captiond.errors.EngineError`; both end the session. Whoever owns the
  session opens another one and sends again what was not yet :class:`Settled`.
* What the engine can't do is answered by :class:`Unsupported`, never by an exception.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from captiond.events import MediaTime, Word
from captiond.media.chunk import AudioChunk


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an engine can do, so that nobody guesses."""

    interims: bool = True
    word_times: bool = False
    languages: tuple[str, ...] = ()
    """BCP 47 tags; empty means that the engine detects the language itself."""

    video: bool = False
    text: bool = False
    tools: bool = False
    interrupt: bool = False
    max_session_seconds: float | None = None
    """The engine ends a session that is older; None means never."""


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
    """The engine accepted the session and hears audio."""

    engine: str


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
    """Text that the model says itself, as opposed to what it hears."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """New input stopped what the model was generating."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TurnComplete:
    """The model finished its turn."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flushed:
    """Everything sent before ``flush`` has been answered."""


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
    """What the session consumed since the last such event."""

    audio_seconds: float
    compute_seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GoingAway:
    """The engine will end this session in ``time_left`` seconds."""

    time_left: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """The engine lacks the capability that was asked for."""

    capability: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionError:
    """The session failed and ends."""

    code: str
    reason: str
    retryable: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The session ended in good order; nothing follows."""


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

    async def send_text(self, text: str) -> None:
        """Send context, vocabulary or a question."""

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


class Engine(Protocol):
    """Turns audio into text: opens live sessions."""

    @property
    def name(self) -> str:
        """Name that captions carry, such as ``moonshine/tiny-en``."""

    @property
    def not_ready(self) -> str | None:
        """Why no session can be opened now, or None."""

    async def start(self) -> None:
        """Start what sessions share, such as workers; returns when ready."""

    async def stop(self) -> None:
        """Stop what sessions share; open sessions fail."""

    async def open(self, *, stream: str) -> LiveSession:
        """
        Open a session.

        Raises:
            EngineError: If no session can be had now.

        """
