"""
How late captions are, measured at the reader.

No I/O: captions with the monotonic times at which a reader had them, the spoken words
with their times in the file, and the monotonic time at which the file's first sample
was spoken go in; seconds come out. Publisher and reader must share a clock.

Words are paired with the spoken ones by :func:`captiond.cli.align.align`, first the
finals with the whole reference, which gives each cue its part of it, then each state
of a cue with that part. Left out are spoken words without times, and cues that begin or
end in a word the reference doesn't have: nobody knows when that was spoken.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from captiond.cli.align import align, tokens


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One state of a cue as a reader had it."""

    at: float
    """Monotonic time of its arrival."""
    cue: int
    final: bool
    text: str
    start: float = 0.0
    """Where the cue starts on the media clock; ``end`` likewise."""
    end: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word of the reference with its place in the file, where that is known."""

    text: str
    start: float | None
    end: float | None


@dataclasses.dataclass(slots=True, kw_only=True)
class Latencies:
    """Seconds, one figure per utterance (first interim, final) or word."""

    first_interim: list[float] = dataclasses.field(default_factory=list)
    """
    From the onset of an utterance's first word to its first caption with text.

    The first word is the spoken one that the final's first word stands for.
    """

    word: list[float] = dataclasses.field(default_factory=list)
    """From the end of a word to the first caption that has it, right and in place."""

    final: list[float] = dataclasses.field(default_factory=list)
    """From the end of the last word that a final holds to that final."""

    def extend(self, other: Latencies) -> None:
        """Take in the figures of another run."""
        self.first_interim += other.first_interim
        self.word += other.word
        self.final += other.final


def spoken_words(
    words: Iterable[Sequence[object]],
) -> list[SpokenWord]:
    """Read ``[word, start, end]`` triples; hyphenated words share their times."""
    return [
        SpokenWord(part, _seconds(start), _seconds(end))
        for word, start, end in words
        for part in tokens(str(word))
    ]


def transcript(captions: Iterable[Shown]) -> str:
    """Return the text of the finals, in the order of their arrival."""
    return " ".join(c.text.strip() for c in captions if c.final and c.text.strip())


def latencies(
    captions: Sequence[Shown], spoken: Sequence[SpokenWord], *, started_at: float
) -> Latencies:
    """Measure the captions of one file that was published from ``started_at`` on."""
    result = Latencies()
    shown_at: dict[int, float] = {}
    for cue, part in _parts(captions, spoken).items():
        states = [c for c in captions if c.cue == cue and c.text.strip()]
        onset, end = spoken[part.first].start, spoken[part.last].end
        if onset is not None and part.begins:
            result.first_interim.append(states[0].at - started_at - onset)
        if end is not None and part.ends:
            result.final.append(states[-1].at - started_at - end)
        words = [word.text for word in spoken[part.first : part.last + 1]]
        for state in states:
            heard = tokens(state.text)
            for mine, theirs in align(heard, words, prefix=True):
                if heard[mine] == words[theirs]:
                    shown_at.setdefault(part.first + theirs, state.at)
    for index, at in sorted(shown_at.items()):
        word_end = spoken[index].end
        if word_end is not None:
            result.word.append(at - started_at - word_end)
    return result


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, interpolated between neighbours; NaN of no values."""
    if not values:
        return math.nan
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


@dataclasses.dataclass(slots=True)
class _Part:
    """The spoken words, by index, that a cue's final stands for."""

    first: int
    last: int
    begins: bool = False
    """Whether the final's first word is one of them; ``ends`` likewise its last."""
    ends: bool = False


def _parts(captions: Sequence[Shown], spoken: Sequence[SpokenWord]) -> dict[int, _Part]:
    """Return for each cue with a final its part of the reference."""
    heard: list[str] = []
    cues: list[int] = []
    for caption in captions:
        if caption.final:
            words = tokens(caption.text)
            heard += words
            cues += [caption.cue] * len(words)
    parts: dict[int, _Part] = {}
    for mine, theirs in align(heard, [word.text for word in spoken]):
        part = parts.setdefault(cues[mine], _Part(theirs, theirs))
        part.last = theirs
        part.begins |= mine == 0 or cues[mine - 1] != cues[mine]
        part.ends = mine + 1 == len(cues) or cues[mine + 1] != cues[mine]
    return parts


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
