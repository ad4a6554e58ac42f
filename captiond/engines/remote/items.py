"""What a service says about one utterance, and where on its own clock."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from captiond.engines.remote.service_activity import Activity
from captiond.events import MediaTime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offsets:
    """Where something lies on the service's clock, in seconds of audio sent."""

    start: float | None = None
    end: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServiceWord:
    """A word with its place on the service's clock."""

    text: str
    start: float
    end: float
    confidence: float | None = None


@dataclasses.dataclass(slots=True, kw_only=True)
class Item:
    """What the service says about one utterance, as far as it has come."""

    key: str
    began: MediaTime
    """What had been sent when it was first heard of."""

    active: float
    """Monotonic time of the last word about it."""

    covers: MediaTime
    """What had been sent before the last word about it."""

    first_since: float
    """Monotonic time since when no other is before it."""

    utterance: str = ""
    """Its id, once it was told."""

    start: MediaTime | None = None
    """Where it was told to start."""

    text: str = ""
    raw: str = ""
    """The text before what had been told was taken off."""

    stripped: bool = False
    """It goes on from the last final, and repeats that."""

    offsets: Offsets = dataclasses.field(default_factory=Offsets)
    language: str | None = None
    marked: float | None = None
    """Monotonic time at which the service said that it has ended, or was asked."""

    ended: bool = False
    """The service has said that it ended, or was asked, whatever it said since."""

    activity: Activity | None = None
    """What the service heard of it."""

    final: bool = False
    words: Sequence[ServiceWord] = ()
