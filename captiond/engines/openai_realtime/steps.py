"""What an exchange with a server consists of."""

from __future__ import annotations

import dataclasses
import enum

from captiond.engines.openai_realtime.dialects import Message
from captiond.engines.openai_realtime.dialects.said import Trouble
from captiond.engines.remote.outgoing import Step
from captiond.live.session import SessionEvent


class Loss(enum.StrEnum):
    """What went wrong without the session being lost; all but the last lose text."""

    UNREADABLE = "unreadable"
    """A message that can't be understood."""

    FAILED = "item_failed"
    """The transcription of an item failed: what was shown of it has to do."""

    MISSING = "no_transcript"
    """The transcript of an item never came."""

    UNKNOWN = "unknown_item"
    """A transcript of something that nobody said."""

    REFUSED = "complaint"
    """The server didn't take something."""


@dataclasses.dataclass(frozen=True, slots=True)
class Flush:
    """Somebody wants to know when everything sent was answered."""


@dataclasses.dataclass(frozen=True, slots=True)
class End:
    """Nothing else will be sent."""


@dataclasses.dataclass(frozen=True, slots=True)
class Expect:
    """These words are to be expected from now on."""

    vocabulary: tuple[str, ...]


ToSend = Step | Flush | End | Expect


@dataclasses.dataclass(slots=True)
class Outcome:
    """What a step leads to."""

    messages: list[Message] = dataclasses.field(default_factory=list)
    events: list[SessionEvent] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSetup:
    """What an exchange is made with."""

    by_server: bool
    """Whether the server ends utterances."""

    loose: bool
    """See :class:`captiond.engines.openai_realtime.turns.Turns`."""

    interims: bool
    """Whether the server says anything while speech goes on."""

    silence: float
    """Seconds of silence after which an utterance ends."""

    max_utterance: float
    finalise_timeout: float
    language: str | None = None
    """Of transcripts whose language the server doesn't tell."""


class Fatal(Exception):
    """
    The server said something that ends the session.

    Args:
        trouble: What it said.

    """

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble
