"""
Stable prefixes: which words of an interim will not change any more.

A word is stable once two hypotheses in a row agree on it (LocalAgreement-2, Macháček
et al. 2023, arXiv 2307.14743) and another word follows it: at its end an engine guesses
from half a word, and ends the sentence. What is stable stays as it was shown: later
hypotheses are aligned to it, and only what follows it is taken from them.
"""

from __future__ import annotations

import dataclasses
import itertools


@dataclasses.dataclass(frozen=True, slots=True)
class Stabilised:
    """What to show for a hypothesis."""

    text: str
    stable: int
    """Characters at the start of ``text`` that will not change."""


class Stabiliser:
    """Keeps the words of one utterance's interims from flickering."""

    def __init__(self) -> None:
        self._stable: list[str] = []
        self._tail: list[str] = []
        """Words of the last hypothesis after the stable ones."""

    def update(self, text: str) -> Stabilised:
        """Return what to show now that the engine believes ``text``."""
        words = text.split()
        tail = words[covered(self._stable, words) :]
        agreed = sum(
            1
            for _ in itertools.takewhile(
                lambda pair: word_key(pair[0]) == word_key(pair[1]),
                zip(self._tail, tail[:-1], strict=False),
            )
        )
        self._stable += tail[:agreed]
        self._tail = tail[agreed:]
        stable = " ".join(self._stable)
        return Stabilised(" ".join(self._stable + self._tail), len(stable))


def covered(stable: list[str], words: list[str]) -> int:
    """
    Return how many of ``words`` say the same as ``stable``.

    It is the prefix of ``words`` with the least edit distance to ``stable``, so a word
    that the engine now hears differently is neither shown twice nor skipped. Of equally
    near prefixes the one nearest in length counts.
    """
    left = [word_key(word) for word in stable]
    right = [word_key(word) for word in words]
    if right[: len(left)] == left:
        return len(left)
    row = list(range(len(right) + 1))
    for index, word in enumerate(left, start=1):
        diagonal, row[0] = row[0], index
        for column, other in enumerate(right, start=1):
            diagonal, row[column] = (
                row[column],
                min(
                    diagonal + (word != other),
                    row[column] + 1,
                    row[column - 1] + 1,
                ),
            )
    return min(range(len(row)), key=lambda count: (row[count], abs(count - len(left))))


def word_key(word: str) -> str:
    """Return what makes two spellings the same word: case and punctuation don't."""
    return "".join(c for c in word.casefold() if c.isalnum()) or word
