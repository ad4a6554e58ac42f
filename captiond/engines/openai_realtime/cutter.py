"""
When an utterance is cut although speech goes on, and when silence is thrown away.

No I/O. An utterance that gets long is ended in the first short pause; one that has
none is ended at its limit, wherever that is.
"""

from __future__ import annotations

import enum

from captiond.engines.openai_realtime.turns import Turns
from captiond.engines.remote.activity import ActivityDetector, Tuning
from captiond.engines.remote.outgoing import AudioMessage

PAUSE = 0.2
"""Seconds without speech that are a pause."""

FROM = 0.6
"""Part of its limit from which on an utterance is ended in a pause."""

QUIET = 10.0
"""Seconds without speech that the server's buffer may hold."""

KEPT = 0.5
"""Seconds at the end of them that may be the start of speech not noticed yet."""


class Cut(enum.Enum):
    """What to do now."""

    COMMIT = "commit"
    """Ask for the end of the utterance."""

    CLEAR = "clear"
    """Let the server forget what it has, but for the last ``KEPT`` seconds."""


class Cutter:
    """
    Watches the open turn of a session.

    Args:
        turns: The session's turns.
        limit: Seconds after which an utterance is cut.
        by_server: Whether the server ends utterances, and throws silence away.

    """

    def __init__(self, turns: Turns, *, limit: float, by_server: bool) -> None:
        self._turns = turns
        self._limit = limit
        self._by_server = by_server
        self._pauses = ActivityDetector(Tuning(hangover=PAUSE))

    def push(self, audio: AudioMessage) -> Cut | None:
        """Take audio that was sent; return what it makes due."""
        self._pauses.push(audio.start, audio.pcm)
        length = self._turns.busy_for
        if length > 0:
            pause = not self._pauses.speaking and length >= FROM * self._limit
            return Cut.COMMIT if pause or length >= self._limit else None
        if not self._by_server and self._turns.length >= QUIET:
            return Cut.CLEAR
        return None
