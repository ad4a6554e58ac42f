"""
A deterministic recogniser of a known programme.

It finds out where in the :class:`~tests.servers.programme.Programme` the audio is that
it is fed, compares it piece by piece, and reports the words whose audio has come: a
lost second of audio is a lost word, audio that came twice is words said twice, silence
and noise are nothing. Opus (also for speech, from 24 kb/s on), gain and shifts don't
matter; a telephone's band loses some words::

    recogniser = Recogniser(programme)            # or rate=24000
    words = recogniser.feed(pcm)                  # any length; [HeardWord, ...]
    words += recogniser.finish()                  # the audio up to here is complete
    flags = recogniser.take_speech()              # one bool for each 20 ms

Times of heard words are on the received audio's own clock. A word is heard when at
least 70 % of it came in one piece and matched; it is told when its end has come, when
the audio stops to match, or at :meth:`Recogniser.finish`. The result doesn't depend on
how the audio was cut into chunks.

Costs: some microseconds for each 20 ms while the place is known; a search (tens of
milliseconds for ten minutes of programme) when it isn't: ``located`` tells, so that a
server may do the feeding in a thread then.
"""

from __future__ import annotations

import enum

import numpy as np

from tests.servers.acoustics import VALUES, Place, index_of, likeness
from tests.servers.programme import RATE, Programme
from tests.servers.received import CELL, Received
from tests.servers.word_coverage import HeardWord, WordCoverage

__all__ = ["CELL_SECONDS", "HeardWord", "Recogniser"]

CELL_SECONDS = CELL / VALUES

_MARGIN = CELL // 2
_HISTORY = 6 * VALUES // CELL
"""So many cells back is looked once the place is found."""
_LOUD = 80.0
"""Level from which on audio whose place isn't known is taken for speech."""
_AUDIBLE = 12.0
"""Level from which on audio is more than nothing."""
_WAVEFORM = 10.0
"""Level of the low tones from which on the waveform is compared."""
_ALIKE = 0.5
_MISSES = 6
"""So many cells more wrong than right, and the place is lost."""
_SAME_PLACE = round(0.06 * VALUES)
"""A place so near the lost one is the same one: a word may go on."""
_REACH = 15 * VALUES
_SHORTEST, _SHORTEST_AT_END, _SHORTEST_FAR = 0.3, 0.16, 0.5
"""Seconds of audio that are enough to look for: nearby, at the end, everywhere."""
_SCORE, _SCORE_AT_END = 0.6, 0.75
_LEAD = 0.12
"""How much better than its rival a place must be, unless the audio is long."""
_SEEK_EVERY, _SEEK_AT_LEAST_EVERY = 5, 100


class _Verdict(enum.IntEnum):
    """Of a cell at a place; the value is what it adds to the misses."""

    ALIKE = -2
    PLAUSIBLE = 0
    WRONG = 1


class Recogniser:
    """
    Hears the words of a programme in audio.

    Args:
        programme: What can be heard.
        rate: Samples per second of the audio that it is fed.

    """

    def __init__(self, programme: Programme, *, rate: int = RATE) -> None:
        self._index = index_of(programme)
        self._coverage = WordCoverage(programme.words)
        self._received = Received(rate)
        self._next = 0  # the cell to be heard next
        self._offset: int | None = None  # from received to programme, in values
        self._last_offset: int | None = None
        self._misses = 0
        self._last_wrong = 0
        self._free = 0  # the first cell that certainly is no part of a told word
        self._seek_at = 0
        self._seek_pause = _SEEK_EVERY
        self._speech: list[bool] = []

    @property
    def seconds(self) -> float:
        """Return how much audio was fed."""
        return self._received.seconds

    @property
    def located(self) -> bool:
        """Return whether it knows where in the programme the audio is."""
        return self._offset is not None

    @property
    def position(self) -> float | None:
        """Return where in the programme the audio is, in seconds, if known."""
        if self._offset is None:
            return None
        return (self._next * CELL + self._offset) / VALUES

    def feed(self, pcm: bytes) -> list[HeardWord]:
        """Take in 16 bit mono PCM and return the words that it completed."""
        self._received.take(pcm)
        while self._received.end >= (self._next + 1) * CELL + _MARGIN:
            self._hear(self._next)
            self._next += 1
        self._received.forget(self._next - _HISTORY)
        return self._coverage.take()

    def finish(self) -> list[HeardWord]:
        """
        Return what is still to be told; a word that has only begun is lost.

        Feeding may go on afterwards.
        """
        if self._offset is None and self._next:
            self._seek(self._next - 1, at_end=True)
        if self._offset is not None and not self._misses:
            self._credit_rest(self._offset)
        self._coverage.cut()
        return self._coverage.take()

    def take_speech(self) -> list[bool]:
        """
        Return for each new 20 ms whether it is speech, in order.

        Where the place is known, speech is what lies in or near a word of the
        programme; elsewhere whatever is loud.
        """
        speech, self._speech = self._speech, []
        return speech

    def _hear(self, cell: int) -> None:
        level = self._received.level(cell)
        if self._offset is None:
            self._speech.append(level >= _LOUD)
            if cell >= self._seek_at:
                self._seek_at = cell + self._seek_pause
                self._seek(cell, at_end=False)
            return
        at = (cell * CELL + self._offset + CELL // 2) / VALUES
        self._speech.append(level >= _AUDIBLE and self._coverage.near_word(at))
        verdict = self._compare(cell, self._offset)
        self._misses = max(0, self._misses + verdict)
        if verdict is _Verdict.WRONG:
            self._last_wrong = cell
        self._credit(cell, self._offset, verdict)
        if self._misses >= _MISSES:
            self._last_offset, self._offset = self._offset, None
            self._seek_at, self._seek_pause = cell + 1, _SEEK_EVERY
            self._coverage.pause()

    def _credit(self, cell: int, offset: int, verdict: _Verdict) -> None:
        if verdict is _Verdict.WRONG:
            return
        # One cell may be alike by chance.
        if verdict is _Verdict.ALIKE and cell - self._last_wrong > 2:
            self._free = cell + 1
        self._coverage.credit(
            start=(cell * CELL + offset) / VALUES,
            end=((cell + 1) * CELL + offset) / VALUES,
            shift=-offset / VALUES,
        )

    def _credit_rest(self, offset: int) -> None:
        """Take the audio that can't be compared yet for a match, if it is as loud."""
        start = self._next * CELL
        end = self._received.end + round(self._received.rest_seconds * VALUES)
        expected = self._index.level(start + offset, end - start)
        cells = range(self._next, self._received.end // CELL)
        levels = [self._received.level(cell) for cell in cells]
        if max([*levels, self._received.rest_level()]) >= expected / 4:
            self._coverage.credit(
                start=(start + offset) / VALUES,
                end=(end + offset) / VALUES,
                shift=-offset / VALUES,
            )

    def _compare(self, cell: int, offset: int) -> _Verdict:
        level = self._received.level(cell)
        at = cell * CELL + offset
        expected = self._index.level(at, CELL)
        piece = self._index.piece(at - _MARGIN, CELL + 2 * _MARGIN)
        low_tones = float(np.sqrt(piece @ piece / len(piece)))
        if low_tones >= _WAVEFORM:
            ours = self._received.piece(cell * CELL - _MARGIN, len(piece))
            if level >= expected / 4 and likeness(ours, piece) >= _ALIKE:
                return _Verdict.ALIKE
            if self._coverage.near_word((at + CELL // 2) / VALUES):
                return _Verdict.WRONG
            # A codec makes another noise of the noise between words.
        if expected >= 2 * _AUDIBLE:
            plausible = expected / 4 <= level <= expected * 4
        else:
            plausible = level < 4 * _AUDIBLE
        return _Verdict.PLAUSIBLE if plausible else _Verdict.WRONG

    def _seek(self, last: int, *, at_end: bool) -> None:
        first = max(self._free, self._received.first, last + 1 - VALUES // CELL)
        while first <= last and self._received.level(first) < _LOUD:
            first += 1
        length = (last + 1 - first) * CELL
        if length < (_SHORTEST_AT_END if at_end else _SHORTEST) * VALUES:
            return
        query = self._received.piece(first * CELL, length)
        score = _SCORE_AT_END if at_end else _SCORE
        if self._last_offset is not None:
            near = first * CELL + self._last_offset
            place = self._index.find(query, near=near, reach=_REACH)
            if self._settled(place, first, last, score):
                return
        if length < _SHORTEST_FAR * VALUES and not at_end:
            return
        if not self._settled(self._index.find(query), first, last, score):
            # Noise that isn't in the programme must not cost a search each time.
            self._seek_pause = min(2 * self._seek_pause, _SEEK_AT_LEAST_EVERY)

    def _settled(
        self, place: Place | None, first: int, last: int, score: float
    ) -> bool:
        """Go on from a place, if it is the right one."""
        long = (last + 1 - first) * CELL >= VALUES
        if place is None or place.score < score:
            return False
        if not long and place.score - place.rival < _LEAD:
            return False
        offset = place.at - first * CELL
        cells = range(first, last + 1)
        levels = [self._received.level(cell) for cell in cells]
        matching = sum(
            level
            for cell, level in zip(cells, levels, strict=True)
            if self._compare(cell, offset) is not _Verdict.WRONG
        )
        if matching < 0.8 * sum(levels):
            return False
        self._settle(offset, first, last)
        return True

    def _settle(self, offset: int, first: int, last: int) -> None:
        known = self._last_offset
        if known is None or abs(offset - known) > _SAME_PLACE:
            self._coverage.reset()
        self._offset = offset
        oldest = max(self._free, self._received.first)
        self._misses = 0
        while first > oldest and self._misses < _MISSES:
            first -= 1
            self._misses = max(0, self._misses + self._compare(first, offset))
        self._misses = 0
        for cell in range(first, last + 1):
            self._credit(cell, offset, self._compare(cell, offset))
