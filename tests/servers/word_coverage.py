"""How much of each word of a programme has been heard; no audio in here."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence

from tests.servers.programme import Word

_ENOUGH = 0.5
"""The part of a word that must have been heard: where audio is cut in a word, which an
utterance may be, it belongs to the larger piece."""
_NEARLY = 0.02
"""So long before its end a word is told."""
_NEAR = 0.06
_GONE = 0.1
"""So long after its end a word that wasn't heard is given up."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HeardWord:
    """A word with its place on the clock of the audio in which it was heard."""

    text: str
    start: float
    end: float


class WordCoverage:
    """Counts the matching audio of each word, and tells the words that are heard."""

    def __init__(self, words: Sequence[Word]) -> None:
        self._words = words
        self._starts = [word.start for word in words]
        # Words may share their times; ends needn't rise, but what they bound does.
        self._ends: list[float] = []
        for word in words:
            self._ends.append(max(word.end, self._ends[-1] if self._ends else 0.0))
        self._covered: dict[int, float] = {}
        self._told: set[int] = set()
        self._heard: list[HeardWord] = []
        self._shift = 0.0

    def take(self) -> list[HeardWord]:
        """Return the words that were told since the last time."""
        heard, self._heard = self._heard, []
        return heard

    def near_word(self, at: float) -> bool:
        """Return whether a place in the programme lies in or near a word."""
        index = bisect.bisect_left(self._ends, at - _NEAR)
        return index < len(self._words) and self._starts[index] <= at + _NEAR

    def credit(self, *, start: float, end: float, shift: float) -> None:
        """
        Take in that a piece of the programme was heard.

        Args:
            start: Where it starts in the programme.
            end: Where it ends.
            shift: What must be added to have the time on the received clock.

        """
        self._shift = shift
        index = bisect.bisect_right(self._ends, start)
        while index < len(self._words) and self._starts[index] < end:
            word = self._words[index]
            both = min(end, word.end) - max(start, word.start)
            if both > 0 and index not in self._told:
                self._covered[index] = self._covered.get(index, 0.0) + both
            index += 1
        for index in sorted(self._covered):
            if end >= self._words[index].end - _NEARLY and self._enough(index):
                self._tell(index)
            elif start > self._words[index].end + _GONE:
                del self._covered[index]

    def pause(self) -> None:
        """Tell what was heard enough of: the audio doesn't match any more."""
        for index in sorted(self._covered):
            if self._enough(index):
                self._tell(index)

    def cut(self) -> None:
        """Tell what was heard enough of, and give up the rest."""
        self.pause()
        self._covered.clear()

    def reset(self) -> None:
        """Begin anew in another place, where words may be heard again."""
        self.cut()
        self._told.clear()

    def _enough(self, index: int) -> bool:
        word = self._words[index]
        return self._covered[index] >= _ENOUGH * (word.end - word.start)

    def _tell(self, index: int) -> None:
        word = self._words[index]
        del self._covered[index]
        self._told.add(index)
        start = max(0.0, word.start + self._shift)
        end = max(start, word.end + self._shift)
        self._heard.append(HeardWord(text=word.text, start=start, end=end))
