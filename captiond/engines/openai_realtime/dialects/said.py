"""What a server says, whatever its dialect."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Created:
    """There is a session."""


@dataclasses.dataclass(frozen=True, slots=True)
class Updated:
    """The session is configured."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SpeechBegan:
    """The server heard speech begin; it will become an item."""

    item: str
    offset: float | None
    """Seconds of audio sent, if the server counts from the start of the session."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStopped:
    """The server heard speech end."""

    item: str
    offset: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The audio in the buffer has become an item."""

    item: str
    previous: str | None
    """The item before, as far as the server can be trusted with it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Interim:
    """What the server believes of an item."""

    item: str
    text: str
    adds: bool
    """Whether it goes on from the text before; else it replaces it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The transcript of an item."""

    item: str
    text: str
    language: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    audio_seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An item won't get a transcript."""

    item: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """The server complains."""

    code: str
    message: str
    fatal: bool
    """Whether the session is of no use any more."""

    retryable: bool
    about: str | None = None
    """The name of what it complains about, where it had one."""


Said = (
    Created
    | Updated
    | SpeechBegan
    | SpeechStopped
    | Committed
    | Interim
    | Completed
    | Failed
    | Trouble
)
