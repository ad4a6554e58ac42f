"""
Which words of a programme were lost or said twice, and near what.

No I/O. The finals of a stream are aligned with the words that were spoken; a missing
word counts where it was spoken, a word too many where the word before it was.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence

from captiond.cli.align import align, tokens
from tests.servers.programme import Word


@dataclasses.dataclass(frozen=True, slots=True)
class Damage:
    """A word lost, doubled (or invented), or heard as another."""

    kind: str
    """``lost``, ``doubled`` or ``changed``."""

    at: float
    """Seconds into the programme."""

    word: str


def compare(words: Sequence[Word], text: str) -> list[Damage]:
    """Return what is wrong with a transcript, in order."""
    spoken = [word.text for word in words]
    heard = tokens(text)
    damages: list[Damage] = []
    at, row, column = 0.0, 0, 0
    for mine, theirs in [*align(heard, spoken), (len(heard), len(spoken))]:
        damages += [Damage("doubled", at, heard[index]) for index in range(row, mine)]
        damages += [
            Damage("lost", words[index].start, spoken[index])
            for index in range(column, theirs)
        ]
        if mine < len(heard) and theirs < len(spoken):
            at = words[theirs].end
            if heard[mine] != spoken[theirs]:
                damages.append(Damage("changed", words[theirs].start, heard[mine]))
        row, column = mine + 1, theirs + 1
    return damages


@dataclasses.dataclass(slots=True)
class Count:
    """Words damaged around one event."""

    lost: int = 0
    doubled: int = 0
    changed: int = 0

    def add(self, damage: Damage) -> None:
        """Count one more."""
        setattr(self, damage.kind, getattr(self, damage.kind) + 1)


def attribute(
    damages: Sequence[Damage], times: Sequence[float], *, before: float = 15.0
) -> tuple[list[Count], Count]:
    """
    Count damages by the event that they belong to.

    Args:
        damages: What is wrong.
        times: Seconds into the programme of each event, rising.
        before: An event may cost words that were spoken so much before it.

    Returns:
        A count for each event, and one for what lies before them all.

    """
    counts = [Count() for _ in times]
    rest = Count()
    for damage in damages:
        index = bisect.bisect_right(times, damage.at + before) - 1
        (counts[index] if index >= 0 else rest).add(damage)
    return counts, rest
