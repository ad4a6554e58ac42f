"""
Caption events: what a stream says to its subscribers.

Every event is an immutable fact about a position on the media clock. Encoding to
JSON belongs to :mod:`captiond.egress.wire`; numbering to :mod:`captiond.hub`.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, NewType

MediaTime = NewType("MediaTime", float)
"""Seconds since the first sample of the stream, on the media clock."""

CueId = NewType("CueId", int)
"""Number of a cue within its stream; increases by one per cue."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word with its place on the media clock, as the engine gives it."""

    text: str
    start: MediaTime
    end: MediaTime
    confidence: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """
    The text of a cue: an interim may change, a final never does.

    Each cue that had an interim ends in exactly one final, whose text is empty
    when its words were withdrawn.
    """

    cue: CueId
    rev: int
    """Rises by one with each state of the cue."""

    final: bool
    start: MediaTime
    end: MediaTime
    text: str
    stable: int
    """Characters at the start of the text that will not change before the final."""

    words: tuple[Word, ...] = ()
    language: str | None = None
    engine: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Audio that never arrived; no caption will cover it."""

    start: MediaTime
    end: MediaTime
    reason: str


class StreamState(enum.StrEnum):
    """What the stream is doing, as subscribers see it."""

    WAITING = "waiting"
    """Nobody has published yet."""

    LIVE = "live"
    PAUSED = "paused"
    """The publisher left and may come back; the log goes on when it does."""

    DEGRADED = "degraded"
    """The publisher sends, but no engine turns its audio into text."""

    ENDED = "ended"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The stream's state changed."""

    state: StreamState
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionNote:
    """
    What a live session did besides captioning, as every subscriber may know it.

    ``model_text`` (``text``: the whole turn), ``interrupted``, ``tool_call`` (``call``,
    ``name``, ``arguments``) and ``tool_call_cancelled`` (``call``).
    """

    event: str
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)


Event = Caption | Gap | Status | SessionNote
"""Everything that a stream may tell its subscribers."""


def is_durable(event: Event) -> bool:
    """Whether the event gets a sequence number and is replayed (not an interim)."""
    return not isinstance(event, Caption) or event.final
