"""
The seam between two sessions: words that the second says again are taken out.

No I/O. A session that takes over hears audio again that was captioned before: what
wasn't settled, and a little more, because engines know only roughly when a word was
spoken. A word is taken out when the text says so, within a second of where the words
before it ended; where two engines don't agree on the text the media time decides.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

from captiond.captions.stabiliser import word_key
from captiond.events import MediaTime, Word
from captiond.live.session import Hypothesis

START_SLACK = 0.4
"""Seconds by which an engine may be wrong about where an utterance begins or ends."""

WORD_SLACK = 1.0
"""Seconds by which it may be wrong about a word inside one."""

MEMORY = 60.0
"""Seconds of captioned words that are remembered."""

_MARKS = ",.;:!?\u2026\u3001\u3002\uff0c\uff01\uff1f\"')\u00bb"
"""What ends a word in one language or another."""

_MATCH, _MISMATCH, _GAP = 1.0, -0.5, -0.6


@dataclasses.dataclass(frozen=True, slots=True)
class _Spoken:
    key: str
    start: float
    end: float
    exact: bool
    """Whether the engine told the times."""


@dataclasses.dataclass(frozen=True, slots=True)
class Trimmed:
    """A hypothesis without what was said before."""

    hypothesis: Hypothesis | None
    """None if nothing is left of it."""

    removed: int
    """Words taken out."""


class Seam:
    """Remembers what was said, and takes it out of what the next session says."""

    def __init__(self) -> None:
        self._said: collections.deque[_Spoken] = collections.deque()
        self._until = MediaTime(float("-inf"))
        """End of the last final."""
        self._open = False
        """Whether a session took over, and hasn't got past what was said."""
        self._heard_from = MediaTime(0.0)
        """Where that session began to hear."""

    @property
    def is_open(self) -> bool:
        """Whether words may still be said again."""
        return self._open

    def begin(self, heard_from: MediaTime) -> None:
        """Note that another session speaks now, which has heard all from there on."""
        self._open = heard_from < self._until + START_SLACK
        self._heard_from = heard_from

    def said(self, final: Hypothesis) -> None:
        """Remember a final that was told."""
        self._said += _place_words(final)
        self._until = max(self._until, final.end)
        while self._said and self._said[0].end < self._until - MEMORY:
            self._said.popleft()

    def trim(self, hypothesis: Hypothesis) -> Trimmed:
        """Take out of a hypothesis what was said before the seam."""
        if not self._open:
            return Trimmed(hypothesis, 0)
        if hypothesis.start >= self._until + START_SLACK:
            self._open = False
            return Trimmed(hypothesis, 0)
        words = _place_words(hypothesis)
        count = self._repeated(hypothesis, words)
        if hypothesis.final and hypothesis.end > self._until + WORD_SLACK:
            # What follows can't reach back before this one's end.
            self._open = False
        if not count:
            return Trimmed(hypothesis, 0)
        if count == len(words):
            return Trimmed(None, count)
        return Trimmed(_cut(hypothesis, count, words[count].start, self._until), count)

    def _repeated(self, hypothesis: Hypothesis, words: Sequence[_Spoken]) -> int:
        """Return how many words at the start were said before."""
        reach = sum(word.start < self._until + WORD_SLACK for word in words)
        # It can't repeat what it hasn't heard.
        since = max(hypothesis.start - WORD_SLACK, self._heard_from - START_SLACK)
        tail = [word for word in self._said if word.end > since]
        if not reach or not tail:
            return 0
        if all(word.exact for word in (*tail, *words)):
            return self._count_before(words, self._until)
        score, count = _overlap(
            [word.key for word in tail], [word.key for word in words[:reach]]
        )
        near = count > 0 and words[count - 1].start < self._until + START_SLACK
        if count and (score > 1 or near):
            return count
        # No word fits. What was surely spoken before the end was said in other words.
        surely = self._until - START_SLACK
        if hypothesis.end <= self._until and hypothesis.start < surely:
            return len(words)
        return self._count_before(words, surely)

    def _count_before(self, words: Sequence[_Spoken], time: float) -> int:
        return sum((word.start + word.end) / 2 < time for word in words)


def _overlap(tail: Sequence[str], head: Sequence[str]) -> tuple[float, int]:
    """
    Align the end of ``tail`` with the start of ``head``.

    Returns:
        The score of the best alignment, and how many words of ``head`` it covers; both
        0 where nothing fits. An alignment begins anywhere in the tail, at the start of
        the head, and ends at the end of the tail.

    """
    # Leaving out the first words of the tail is free.
    previous = [_GAP * column for column in range(len(head) + 1)]
    for word in tail:
        row = [0.0]
        for column, other in enumerate(head, start=1):
            row.append(
                max(
                    previous[column - 1] + (_MATCH if word == other else _MISMATCH),
                    previous[column] + _GAP,
                    row[column - 1] + _GAP,
                )
            )
        previous = row
    count = max(range(len(previous)), key=lambda column: (previous[column], -column))
    return (previous[count], count) if previous[count] > 0 else (0.0, 0)


def _place_words(hypothesis: Hypothesis) -> list[_Spoken]:
    """Return the words with their times; spread evenly where the engine has none."""
    if hypothesis.words:
        return [
            _Spoken(word_key(word.text), word.start, word.end, exact=True)
            for word in hypothesis.words
        ]
    words = hypothesis.text.split()
    step = (hypothesis.end - hypothesis.start) / max(len(words), 1)
    return [
        _Spoken(
            word_key(word),
            hypothesis.start + index * step,
            hypothesis.start + (index + 1) * step,
            exact=False,
        )
        for index, word in enumerate(words)
    ]


def _cut(
    hypothesis: Hypothesis, count: int, start: float, earliest: MediaTime
) -> Hypothesis:
    words: tuple[Word, ...] = hypothesis.words[count:]
    begin = min(max(start, earliest), hypothesis.end)
    return dataclasses.replace(
        hypothesis,
        start=MediaTime(begin),
        text=_text_from(hypothesis, count),
        words=words,
    )


def _text_from(hypothesis: Hypothesis, count: int) -> str:
    """Return the text without its first words; not all languages have spaces."""
    text = hypothesis.text
    if not hypothesis.words:
        return " ".join(text.split()[count:])
    at = 0
    for word in hypothesis.words[:count]:
        found = text.find(word.text.strip(), at)
        at = found + len(word.text.strip()) if found >= 0 else at
    rest = text[at:]
    # What follows a word up to the next space belongs to it: its punctuation.
    mark = len(rest) - len(rest.lstrip(_MARKS))
    return rest[mark:].strip()
