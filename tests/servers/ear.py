"""
What a server hears: speech begins, words, speech ends, in the order of the audio.

No I/O. The end of speech is decided automatically after a silence, or by the client:
:meth:`Ear.flush` in automatic mode, :meth:`Ear.open` and :meth:`Ear.shut` in manual
mode, where audio outside of them is discarded. The clock is the audio consumed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from tests.servers.programme import RATE, Programme
from tests.servers.recogniser import CELL_SECONDS, HeardWord, Recogniser

ONSET_CELLS = 3
"""So many cells of speech in a row begin an activity."""


@dataclasses.dataclass(frozen=True, slots=True)
class Started:
    """Speech began."""

    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Words:
    """Words of the speech that is going on."""

    words: tuple[HeardWord, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """Speech ended."""

    at: float


HearingEvent = Started | Words | Ended


class VoiceActivity:
    """
    Turns flags of 20 ms into starts and ends of speech.

    Args:
        silence: Seconds without speech after which it ended.

    """

    def __init__(self, silence: float) -> None:
        self._silence = max(1, round(silence / CELL_SECONDS))
        self._cell = 0
        self._run = 0
        self._last_speech = 0
        self.active = False

    def push(self, flags: Iterable[bool]) -> list[Started | Ended]:
        """Take in flags."""
        events: list[Started | Ended] = []
        for speech in flags:
            self._cell += 1
            self._run = self._run + 1 if speech else 0
            if speech:
                self._last_speech = self._cell
            if not self.active and self._run >= ONSET_CELLS:
                self.active = True
                events.append(Started((self._cell - self._run) * CELL_SECONDS))
            elif self.active and self._cell - self._last_speech >= self._silence:
                self.active = False
                events.append(Ended(self._last_speech * CELL_SECONDS))
        return events

    def stop(self) -> None:
        """End the activity now; later speech begins a new one."""
        self.active = False
        self._run = 0


class Ear:
    """
    Hears a programme in the audio of one session.

    Args:
        programme: What can be heard.
        silence: Seconds without speech that end an activity; None in manual mode.

    """

    def __init__(self, programme: Programme, *, silence: float | None) -> None:
        self._programme = programme
        self.manual = silence is None
        self._activity = VoiceActivity(silence or 0.0)
        self._open = False
        self._recogniser: Recogniser | None = None
        self.rate: int | None = None

    @property
    def seconds(self) -> float:
        """Return how much audio was consumed."""
        return self._recogniser.seconds if self._recogniser else 0.0

    @property
    def located(self) -> bool:
        """Return whether hearing is cheap now; else do it in a thread."""
        return self._recogniser is not None and self._recogniser.located

    @property
    def active(self) -> bool:
        """Return whether speech is going on."""
        return self._open if self.manual else self._activity.active

    def hear(self, pcm: bytes, *, rate: int = RATE) -> list[HearingEvent]:
        """
        Take in audio.

        Raises:
            ValueError: If the rate isn't that of the audio before.

        """
        if self._recogniser is None:
            self.rate = rate
            self._recogniser = Recogniser(self._programme, rate=rate)
        if rate != self.rate:
            raise ValueError(f"audio at {rate} Hz after audio at {self.rate} Hz")
        if self.manual and not self._open:
            pcm = bytes(len(pcm))
        words = self._recogniser.feed(pcm)
        flags = self._recogniser.take_speech()
        if self.manual:
            return _said(words)
        turns = self._activity.push(flags)
        if any(isinstance(turn, Ended) for turn in turns) and not self.located:
            words += self._recogniser.finish()
        return _in_order(words, turns)

    def flush(self) -> list[HearingEvent]:
        """End the activity that is going on, with every word that was heard."""
        words = self._recogniser.finish() if self._recogniser else []
        if not words and not self._activity.active:
            return []
        self._activity.stop()
        return [*_said(words), Ended(self.seconds)]

    def open(self) -> list[HearingEvent]:
        """Begin an activity by hand."""
        self._open = True
        return [Started(self.seconds)]

    def shut(self) -> list[HearingEvent]:
        """End an activity by hand."""
        words = self._recogniser.finish() if self._recogniser else []
        self._open = False
        return [*_said(words), Ended(self.seconds)]


def _said(words: Sequence[HeardWord]) -> list[HearingEvent]:
    return [Words(tuple(words))] if words else []


def _in_order(
    words: Sequence[HeardWord], turns: Iterable[Started | Ended]
) -> list[HearingEvent]:
    events: list[HearingEvent] = []
    for turn in turns:
        if isinstance(turn, Ended):
            before = [word for word in words if word.start < turn.at]
            words = words[len(before) :]
            events += _said(before)
        events.append(turn)
    return events + _said(words)
