"""What the OpenAI-like test servers can be told to do wrong."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """
    Faults, all of them off by default.

    Those that happen in mid-session happen one time in each session, when ``after``
    seconds of audio have come; with ``once`` each happens one time altogether.
    """

    once: bool = False
    after: float = 0.0

    http_status: int | None = None
    """The handshake is answered with it; the body repeats what was sent as a key."""

    retry_after: int | None = None
    """The header of that answer."""

    no_session_created: bool = False
    """The connection stands, and nothing is said."""

    first_error: str | None = None
    """An error with this code comes instead of the session, and the connection ends."""

    no_session_updated: bool = False
    """A configuration is taken and not acknowledged."""

    unknown_events: bool = False
    """Events that nobody has heard of come in between."""

    huge_event: bool = False
    """An event of more than 1 MiB comes in between."""

    invalid_json: bool = False
    """A message comes that isn't JSON, one that isn't an object, one without type."""

    binary_frame: bool = False
    """A message comes that isn't text."""

    error: str | None = None
    """An error with this code comes in between; the session goes on."""

    never_completed: bool = False
    """An item's transcript never comes."""

    completed_twice: bool = False
    """An item's transcript comes twice."""

    out_of_order: bool = False
    """Two items' transcripts change places."""

    fail_items: bool = False
    """An item's transcription fails."""

    close: tuple[int, str] | None = None
    """The connection is closed with this code and reason."""

    reset: bool = False
    """The connection is reset."""

    stop_reading: bool = False
    """Nothing is read any more; the connection stays."""


_DEFAULTS = Faults()


class FaultSwitch:
    """Holds the faults of a server; they may be changed while it runs."""

    def __init__(self) -> None:
        self.faults = Faults()

    def take(self, name: str) -> Any:
        """Return a fault's value, and switch it off if it is to happen once."""
        value = getattr(self.faults, name)
        if value and self.faults.once:
            off = {name: getattr(_DEFAULTS, name)}
            self.faults = dataclasses.replace(self.faults, **off)
        return value
