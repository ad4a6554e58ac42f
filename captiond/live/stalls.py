"""
What to make of sound that an engine says nothing about.

No I/O. It may have fallen silent, or nobody speaks: music, a crowd, an engine. The
first time the session is replaced, and the next one hears the same. If that says
nothing either, another engine is asked; where there is none the sound is taken for
noise, but not for ever.
"""

from __future__ import annotations

import enum

PATIENCE = 60.0
"""Seconds of sound taken for noise after which the session is replaced after all."""


class Verdict(enum.Enum):
    """What to do about a session that says nothing."""

    REPLACE = enum.auto()
    ASK_ANOTHER = enum.auto()
    """Replace it, and leave its engine alone for a while."""

    NOISE = enum.auto()
    """Forget the sound, and keep the session."""


class Stalls:
    """The stalls of one stream, since something was said."""

    def __init__(self) -> None:
        self._count = 0
        self._noise = 0.0

    def answered(self) -> None:
        """Note that an engine said something."""
        self._count = 0
        self._noise = 0.0

    def judge(self, seconds: float, *, another: bool) -> Verdict:
        """
        Decide about a session that says nothing.

        Args:
            seconds: How much sound it says nothing about.
            another: Whether there is another engine to ask.

        """
        self._count += 1
        if self._count == 1:
            return Verdict.REPLACE
        if another:
            return Verdict.ASK_ANOTHER
        self._noise += seconds
        if self._noise < PATIENCE:
            return Verdict.NOISE
        self._noise = 0.0
        return Verdict.REPLACE
