"""
Whether a service says again what it had said: no I/O, only texts.

Services send finals twice, and send the final of an utterance after its last interim
had to do instead. A speaker repeats herself too, so texts alone don't decide.
"""

from __future__ import annotations

import difflib
import re

SIMILAR = 0.9
"""Texts whose words agree to this ratio are one, heard twice."""

ANOTHER = 0.5
"""Texts whose beginnings agree less than this are about different speech."""

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")


def words(text: str) -> list[str]:
    """Return the words of a text without case and punctuation."""
    return _WORD.findall(text.casefold())


def likeness(one: list[str], other: list[str]) -> float:
    """Return how much two texts agree: 1 if they are the same, 0 if in no word."""
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def similar(one: list[str], other: list[str]) -> bool:
    """Whether two texts are one, give or take a word."""
    return one == other or likeness(one, other) >= SIMILAR


def starts_anew(before: str, after: str) -> bool:
    """Whether a text isn't the one before, grown or revised, but another one."""
    old, new = words(before), words(after)
    shorter = min(len(old), len(new))
    if shorter < len(old) / 2:
        return True
    return likeness(old[:shorter], new[:shorter]) < ANOTHER


class LastFinal:
    """The last final told, to recognise it when it comes again."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._promoted = False

    def told(self, text: str, *, promoted: bool) -> None:
        """Remember a final; ``promoted`` if it was an interim that had to do."""
        self.words = words(text)
        self._promoted = promoted

    def new_in(self, text: str, *, interim: str, fresh: bool, ended: bool) -> str:
        """
        Return what a text says that the last final didn't; nothing if it repeats it.

        When in doubt it's new: a word told twice is better than one never told.

        Args:
            text: What the service says now.
            interim: Text of the utterance that is open, empty if there is none.
            fresh: Whether there is speech that no final was about.
            ended: Whether that speech has ended, so that its final is due.

        """
        said = words(text)
        if interim:
            # It's about the open utterance, unless it plainly isn't.
            repeats = self._is_late(said, words(interim))
        elif not self.words:
            repeats = False
        elif fresh:
            repeats = said == self.words and not ended
        elif self._promoted:
            rest = self.rest_of(text)
            return rest if rest != text else ""
        else:
            repeats = said == self.words[: len(said)] or similar(said, self.words)
        return "" if repeats else text

    def _is_late(self, said: list[str], interim: list[str]) -> bool:
        if similar(said, interim):
            return False
        if said == self.words:
            return True
        before = likeness(said, self.words)
        return self._promoted and before >= max(SIMILAR, likeness(said, interim))

    def rest_of(self, text: str) -> str:
        """
        Return what a text adds to a promoted final that it goes on from.

        A service that saw no end there says again what it said before.
        """
        found = list(_WORD.finditer(text))
        count = len(self.words)
        if len(found) <= count or words(text)[:count] != self.words:
            return text
        return text[found[count].start() :]
