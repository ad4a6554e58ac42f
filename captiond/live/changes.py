"""What changes about a stream's sessions, told beside the sessions' own events."""

from __future__ import annotations

import dataclasses

from captiond.events import Gap
from captiond.live.session import SessionEvent


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionLost:
    """The session that spoke failed; the next one will say the open utterance again."""

    engine: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """Another session took over, and goes on with the open utterance."""

    engine: str
    """Whose session was replaced."""

    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Degraded:
    """Whether the stream is without an engine for longer than a moment."""

    degraded: bool
    reason: str


SupervisorEvent = SessionEvent | SessionLost | Rotated | Degraded | Gap
"""Everything that whoever holds a supervisor is told."""
