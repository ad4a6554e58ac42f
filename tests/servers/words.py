"""A spoken word, as the test servers know it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word with its place on the programme's clock, in seconds."""

    text: str
    start: float
    end: float
