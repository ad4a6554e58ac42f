"""
What can be told to go wrong.

``server.faults = Faults(…)`` holds for every connection, open ones too;
``server.fault_next(Faults(…), connections=1)`` for the next ones only, instead.
``…_after`` is in seconds of audio that the connection has sent, and happens once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

QUOTA = "RESOURCE_EXHAUSTED: You exceeded your current quota, please check your plan."
DEADLINE = "Deadline expired before operation could complete."
CANCELLED = "The operation was cancelled."


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Faults of a connection; by default none."""

    http_status: int | None = None
    """Refuse the handshake with it: 401, 403, 429, 503."""
    setup_delay: float = 0.0
    """Seconds of the wall clock before setup is answered."""
    no_setup: bool = False
    """Never answer setup."""
    setup_error: Mapping[str, Any] | None = None
    """Answer setup with it, and go on; ``{"error": {…}}`` is usual."""

    text_frames: bool = False
    """Send text frames instead of binary ones."""
    unfinalised: Literal["no", "silent", "complete"] = "no"
    """
    Whether utterances stay interim.

    After ACTIVITY_END follows nothing (silent), or generationComplete only (complete).
    """
    duplicate_final_after: float | None = None
    """Say each final once more, so many seconds of audio later."""
    joined_final: bool = False
    """
    Put the final and the interim of what follows into one message.

    The last word of an utterance becomes an utterance of its own.
    """
    pong_delay: float | None = None
    """Seconds of the wall clock before a ping is answered; infinite: never."""

    unknown_after: float | None = None
    """Send a message that the SDK doesn't know."""
    error_after: float | None = None
    """Send ``{"error": {…}}``."""
    invalid_json_after: float | None = None
    huge_after: float | None = None
    """Send a message of more than 1 MiB."""
    go_away_after: float | None = None
    go_away_left: float = 1.0
    """Seconds of the wall clock that are promised, and kept."""
    go_away_then: Literal["close", "silence"] = "close"
    """What comes then: the close below; or nothing at all, from goAway on."""
    mute_after: float | None = None
    """Say nothing any more, but go on reading."""
    stop_reading_after: float | None = None
    abort_after: float | None = None
    """Reset the TCP connection."""
    close_after: float | None = None
    close_code: int = 1011
    close_reason: str = DEADLINE

    @classmethod
    def quota(cls, after: float = 0.0) -> Faults:
        """Return the fault of a quota that is used up."""
        return cls(close_after=after, close_code=1011, close_reason=QUOTA)
