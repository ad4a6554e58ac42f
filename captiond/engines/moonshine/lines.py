"""
From audio to session events: one captiond stream on top of a source of lines.

No I/O: audio goes in by :meth:`Lines.feed`, and :meth:`Lines.update` computes. It owns
the time base: a source counts from its own start, and is replaced by a new one when
the media clock jumps, when everything was asked for, and now and then in silence,
because a source keeps all its lines.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable

from captiond.clock import monotonic
from captiond.engines.moonshine.library import Line, Source
from captiond.events import MediaTime
from captiond.live.session import (
    Hypothesis,
    SessionEvent,
    Settled,
    SpeechEnded,
    SpeechStarted,
)
from captiond.media.chunk import BYTES_PER_SAMPLE, SAMPLE_RATE

BYTES_PER_SECOND = SAMPLE_RATE * BYTES_PER_SAMPLE

JUMP = 0.002
"""Least distance of a chunk from the end of the one before that counts as a jump."""

LOOK_BEHIND = 0.15
"""A line may start this much before the audio that began it, and before the end of the
line before it."""

ONSET = 1.0
"""Audio that a line not yet begun may still reach back for."""

TAIL = 1.0
"""Silence after the audio without which the last words are lost."""

STEP = 5.0
"""Most audio that one update takes, which bounds how long it lasts."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When a source is replaced. A source's cost grows with the lines it keeps."""

    lines: int = 20
    seconds: float = 60.0
    """Whichever comes first, in silence."""

    impatience: int = 4
    """Times the above after which the end of any line will do."""

    limit: float = 900.0
    """Seconds after which an open line is cut, as in music without an end."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Audio:
    start: float
    pcm: bytes
    received: float


@dataclasses.dataclass(slots=True)
class _Utterance:
    """A line that is not complete yet."""

    name: str
    line: Line
    start: MediaTime
    text: str = ""


class Lines:
    """
    Turns the audio of one stream into session events.

    Args:
        open_source: Opens a source with an empty past.
        rotation: When the source is replaced.
        clock: Monotonic clock.

    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        *,
        rotation: Rotation | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._open_source = open_source
        self._rotation = rotation or Rotation()
        self._clock = clock
        self._queue: collections.deque[_Audio | SessionEvent] = collections.deque()
        """Audio not processed yet, and answers to give between two pieces of it."""
        self._pending_bytes = 0

        self._source: Source | None = None
        self._base = 0.0
        """Media time of the source's first sample."""
        self._fed_bytes = 0
        self._recent = bytearray()
        """The audio that a new source must hear again: what may begin a line."""

        self._position: MediaTime | None = None
        """Media time before which all audio is processed."""
        self._received = 0.0
        """When the last audio processed had been received."""
        self._complete: set[int] = set()
        self._utterance: _Utterance | None = None
        self._utterances = 0
        self._final_end = float("-inf")
        self._settled = float("-inf")

    @property
    def pending(self) -> float:
        """Seconds of audio that wait for an update."""
        return self._pending_bytes / BYTES_PER_SECOND

    @property
    def asked(self) -> bool:
        """Whether somebody waits for an answer to :meth:`finish`."""
        return any(not isinstance(item, _Audio) for item in self._queue)

    @property
    def speaking(self) -> bool:
        """Whether a line is open."""
        return self._utterance is not None

    def feed(self, start: MediaTime, pcm: bytes, *, received: float) -> None:
        """Take audio in; nothing is computed yet."""
        self._queue.append(_Audio(start, pcm, received))
        self._pending_bytes += len(pcm)

    def finish(self, answer: SessionEvent) -> None:
        """Finish what was fed so far, once updates get there, and then say so."""
        self._queue.append(answer)

    def update(self) -> list[SessionEvent]:
        """
        Process what waits: up to a jump of the media clock, an answer, or STEP.

        More may wait afterwards.
        """
        events: list[SessionEvent] = []
        taken = 0
        while self._queue and taken < STEP * BYTES_PER_SECOND:
            item = self._queue[0]
            if not isinstance(item, _Audio):
                self._queue.popleft()
                return [*events, *self._drain(), item]
            if self._source is not None and self._jumps_to(item.start):
                return [*events, *self._drain()]
            self._queue.popleft()
            self._hear(item)
            taken += len(item.pcm)
        if taken:
            events += self._read()
            events += self._rotate()
            events += self._settle()
        return events

    def close(self) -> None:
        """Free the source; nothing more comes of it."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _jumps_to(self, start: float) -> bool:
        return self._position is not None and abs(start - self._position) > JUMP

    def _hear(self, audio: _Audio) -> None:
        if self._source is None:
            self._restart(audio.start, b"")
            self._final_end = min(self._final_end, audio.start)
        assert self._source is not None
        self._source.feed(audio.pcm)
        self._pending_bytes -= len(audio.pcm)
        self._fed_bytes += len(audio.pcm)
        self._recent += audio.pcm
        del self._recent[: -int(ONSET * BYTES_PER_SECOND)]
        self._received = audio.received
        self._position = MediaTime(self._base + self._fed_bytes / BYTES_PER_SECOND)

    def _restart(self, base: float, past: bytes) -> None:
        """Replace the source by one that starts at ``base`` with audio ``past``."""
        self.close()
        self._source = self._open_source()
        self._base = base
        self._fed_bytes = len(past)
        self._recent = bytearray(past)
        self._complete = set()
        if past:
            self._source.feed(past)

    def _read(self) -> list[SessionEvent]:
        """Ask the source for its lines and tell what is new in them."""
        assert self._source is not None
        events: list[SessionEvent] = []
        for line in self._source.update():
            if line.id in self._complete:
                continue
            events += self._tell(line)
        return events

    def _tell(self, line: Line) -> list[SessionEvent]:
        events: list[SessionEvent] = []
        if self._utterance is not None and self._utterance.line.id != line.id:
            events += self._end(self._utterance.line)
        if self._utterance is None:
            self._utterances += 1
            start = _media_time(max(self._base + line.start, self._final_end))
            self._utterance = _Utterance(f"u{self._utterances}", line, start)
            events.append(SpeechStarted(time=start))
        self._utterance.line = line
        if line.complete:
            events += self._end(line)
        elif line.text:
            self._utterance.text = line.text
            events.append(self._hypothesis(line, final=False))
        return events

    def _end(self, line: Line) -> list[SessionEvent]:
        """Make the open utterance final with this line."""
        assert self._utterance is not None
        final = self._hypothesis(line, final=True)
        said = bool(line.text or self._utterance.text)
        self._complete.add(line.id)
        self._utterance = None
        self._final_end = final.end
        ended = SpeechEnded(time=final.end)
        return [ended, final] if said else [ended]

    def _hypothesis(self, line: Line, *, final: bool) -> Hypothesis:
        assert self._utterance is not None
        assert self._position is not None
        # The source may also have heard silence that isn't on the media clock.
        end = min(self._base + line.end, self._position)
        return Hypothesis(
            utterance=self._utterance.name,
            final=final,
            start=self._utterance.start,
            end=_media_time(max(end, self._utterance.start)),
            text=line.text,
            heard=self._received,
            produced=self._clock(),
        )

    def _drain(self) -> list[SessionEvent]:
        """Finish the open line and forget the source: what follows starts anew."""
        if self._source is None:
            return []
        self._source.feed(bytes(int(TAIL * BYTES_PER_SECOND)))
        events = self._read()
        if self._utterance is not None:
            events += self._end(self._utterance.line)
        self.close()
        return [*events, *self._settle(everything=True)]

    def _rotate(self) -> list[SessionEvent]:
        """Replace the source if it is time to."""
        assert self._position is not None
        rule = self._rotation
        age = self._fed_bytes / BYTES_PER_SECOND
        if self._utterance is not None:
            return self._drain() if age >= rule.limit else []
        wear = max(len(self._complete) / rule.lines, age / rule.seconds)
        quiet = self._position - self._final_end >= ONSET
        if wear >= (1 if quiet else rule.impatience):
            # Speech may have begun without having become a line yet.
            since = max(self._position - ONSET, self._final_end - LOOK_BEHIND)
            size = int((self._position - since) * SAMPLE_RATE) * BYTES_PER_SAMPLE
            past = bytes(self._recent[max(len(self._recent) - size, 0) :])
            self._restart(self._position - len(past) / BYTES_PER_SECOND, past)
        return []

    def _settle(self, *, everything: bool = False) -> list[SessionEvent]:
        """Tell what audio no later hypothesis needs."""
        assert self._position is not None
        if everything:
            settled: float = self._position
        elif self._utterance is not None:
            settled = self._base + self._utterance.line.start - LOOK_BEHIND
        else:
            settled = max(self._position - ONSET, self._final_end - LOOK_BEHIND)
        self._settled = max(self._settled, settled)
        time = _media_time(max(self._settled, 0.0))
        return [Settled(time=time, heard=self._position)]


def _media_time(seconds: float) -> MediaTime:
    """Round to whole milliseconds: the library's times are 32-bit floats."""
    return MediaTime(round(seconds, 3))
