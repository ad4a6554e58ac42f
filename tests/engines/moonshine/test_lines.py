"""Tests of how lines become session events, on a scripted source."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from captiond.engines.moonshine.library import Line
from captiond.engines.moonshine.lines import BYTES_PER_SECOND, STEP, Lines, Rotation
from captiond.events import MediaTime
from captiond.live.session import (
    Flushed,
    Hypothesis,
    SessionEvent,
    Settled,
    SpeechEnded,
    SpeechStarted,
)

ONSET = 20
"""Hundredths of a second of speech that begin a line."""

HANGOVER = 30
"""Hundredths of a second of silence that end it."""


@dataclasses.dataclass
class Script:
    """Says when, on the clock of the audio's own content, somebody speaks."""

    spans: list[tuple[float, float, str]]
    """Start, end and text of each line, on the media clock."""

    sources: list[ScriptedSource] = dataclasses.field(default_factory=list)
    fail: bool = False

    def open(self) -> ScriptedSource:
        """Open a source with an empty past."""
        source = ScriptedSource(self)
        self.sources.append(source)
        return source


class ScriptedSource:
    """
    A source that knows what is said from the audio's bytes.

    Each sample's value is its media time in hundredths of a second; zero is silence.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self.heard = bytearray()
        self.closed = False
        self._first_id = next(_ids) * 1000

    def feed(self, pcm: bytes) -> None:
        assert not self.closed
        self.heard += pcm

    def update(self) -> list[Line]:
        assert not self.closed
        if self._script.fail:
            raise RuntimeError("the library failed")
        samples = memoryview(bytes(self.heard)).cast("h")
        media = [samples[at] for at in range(0, len(samples), 160)]
        lines = []
        for number, (start, end, text) in enumerate(self._script.spans):
            spoken = [
                at for at, value in enumerate(media) if start * 100 <= value < end * 100
            ]
            if len(spoken) < ONSET:
                continue
            complete = len(media) - spoken[-1] > HANGOVER
            lines.append(
                Line(
                    id=self._first_id + number,
                    start=spoken[0] / 100,
                    end=(spoken[-1] + 1) / 100,
                    text=text if complete else text[: len(spoken) // 10],
                    complete=complete,
                )
            )
        return lines

    def close(self) -> None:
        self.closed = True


_ids = itertools.count(1)


def audio(start: float, seconds: float) -> bytes:
    """Return audio that tells its own media time."""
    return b"".join(
        round(start * 100 + at).to_bytes(2, "little", signed=True) * 160
        for at in range(round(seconds * 100))
    )


def feed(
    lines: Lines, start: float, end: float, *, update: bool = True
) -> list[SessionEvent]:
    """Feed audio in chunks of 100 ms and update after each."""
    events: list[SessionEvent] = []
    for at in range(round((end - start) * 10)):
        begin = start + at / 10
        lines.feed(MediaTime(begin), audio(begin, 0.1), received=round(100 + begin, 3))
        if update:
            events += lines.update()
    return events


def finals(events: list[SessionEvent]) -> list[tuple[str, float, float]]:
    """Return the finals among the events."""
    return [
        (event.text, event.start, event.end)
        for event in events
        if isinstance(event, Hypothesis) and event.final
    ]


def test_one_line() -> None:
    """A line becomes speech started, interims, speech ended and a final."""
    script = Script([(1.0, 2.0, "hello world")])
    lines = Lines(script.open, clock=lambda: 200.0)
    events = [e for e in feed(lines, 0.0, 4.0) if not isinstance(e, Settled)]

    assert events[0] == SpeechStarted(time=MediaTime(1.0))
    assert events[-2] == SpeechEnded(time=MediaTime(2.0))
    assert events[-1] == Hypothesis(
        utterance="u1",
        final=True,
        start=MediaTime(1.0),
        end=MediaTime(2.0),
        text="hello world",
        heard=102.2,
        produced=200.0,
    )
    interims = events[1:-2]
    assert len(interims) == 11
    assert all(isinstance(e, Hypothesis) and not e.final for e in interims)


def test_utterances_have_names_of_their_own() -> None:
    """Each line is an utterance of its own, and lines don't overlap."""
    script = Script([(1.0, 2.0, "one"), (1.9, 3.0, "two")])
    events = feed(Lines(script.open), 0.0, 5.0)

    assert finals(events) == [("one", 1.0, 2.0), ("two", 2.0, 3.0)]
    assert {e.utterance for e in events if isinstance(e, Hypothesis)} == {"u1", "u2"}


def test_text_without_words() -> None:
    """A line that never had text is speech, but no hypothesis."""
    events = feed(Lines(Script([(1.0, 2.0, "")]).open), 0.0, 4.0)

    assert not any(isinstance(event, Hypothesis) for event in events)
    assert SpeechEnded(time=MediaTime(2.0)) in events


def test_words_withdrawn() -> None:
    """A line whose interims had text ends in a final, even an empty one."""
    script = Script([(1.0, 2.0, "uh")])
    lines = Lines(script.open)
    feed(lines, 0.0, 1.8)
    script.spans = [(1.0, 2.0, "")]

    assert finals(feed(lines, 1.8, 4.0)) == [("", 1.0, 2.0)]


def test_settled() -> None:
    """Settled never takes back, and holds what an open line or an onset may need."""
    events = feed(Lines(Script([(1.0, 2.0, "hello")]).open), 0.0, 5.0)
    settled = [event for event in events if isinstance(event, Settled)]

    times = [event.time for event in settled]
    assert times == sorted(times)
    assert all(e.time <= 0.85 for e in settled if 1.2 <= e.heard <= 2.2)
    assert settled[25].time >= 1.85
    assert settled[-1] == Settled(time=MediaTime(4.0), heard=MediaTime(5.0))


def test_flush_finishes_the_line() -> None:
    """Flush makes the open line final where the audio ends, and then says so."""
    lines = Lines(Script([(1.0, 9.0, "hello world")]).open)
    feed(lines, 0.0, 2.0)
    lines.finish(Flushed())

    assert lines.asked

    events = lines.update()

    assert finals(events) == [("hello world", 1.0, 2.0)]
    assert events[-1] == Flushed()
    assert events[-2] == Settled(time=MediaTime(2.0), heard=MediaTime(2.0))
    assert not lines.asked
    assert not lines.speaking


def test_flush_covers_what_waits() -> None:
    """Flush answers after all audio before it, and not after audio behind it."""
    lines = Lines(Script([(1.0, 2.0, "one"), (3.0, 4.0, "two")]).open)
    feed(lines, 0.0, 2.5, update=False)
    lines.finish(Flushed())
    feed(lines, 2.5, 5.0, update=False)
    first = lines.update()

    assert finals(first) == [("one", 1.0, 2.0)]
    assert first[-1] == Flushed()
    assert finals(lines.update()) == [("two", 3.0, 4.0)]


def test_flush_of_nothing() -> None:
    """Flush without audio is answered at once."""
    lines = Lines(Script([]).open)
    lines.finish(Flushed())

    assert lines.update() == [Flushed()]


def test_jump_finishes_the_line() -> None:
    """A jump of the media clock ends the line, and times go on from the new place."""
    lines = Lines(Script([(1.0, 2.5, "before"), (21.0, 22.0, "after")]).open)
    events = feed(lines, 0.0, 2.0)
    events += feed(lines, 20.0, 24.0)
    while lines.pending:
        events += lines.update()

    assert finals(events) == [("before", 1.0, 2.0), ("after", 21.0, 22.0)]


def test_rounding_is_no_jump() -> None:
    """A chunk that starts a millisecond off continues the one before."""
    script = Script([])
    lines = Lines(script.open)
    feed(lines, 0.0, 1.0)
    lines.feed(MediaTime(1.001), audio(1.0, 0.1), received=0.0)
    lines.update()

    assert len(script.sources) == 1


def test_updates_are_bounded() -> None:
    """An update takes a few seconds of audio at most; the rest waits."""
    lines = Lines(Script([]).open)
    feed(lines, 0.0, 12.0, update=False)
    lines.update()

    assert lines.pending == pytest.approx(12.0 - STEP)


def test_rotation_in_silence() -> None:
    """After enough lines the source is replaced in silence, and nothing is lost."""
    script = Script([(t + 0.5, t + 1.5, f"line {t}") for t in range(0, 60, 4)])
    lines = Lines(script.open, rotation=Rotation(lines=3, seconds=1000.0))
    events = feed(lines, 0.0, 60.0)

    assert finals(events) == [(f"line {t}", t + 0.5, t + 1.5) for t in range(0, 60, 4)]
    assert len(script.sources) == 6
    assert all(source.closed for source in script.sources[:-1])
    assert all(len(source.heard) < 15 * BYTES_PER_SECOND for source in script.sources)


def test_rotation_without_silence() -> None:
    """Speech with hardly a pause is rotated too, later, at the end of a line."""
    script = Script([(t + 0.1, t + 0.6, f"line {t}") for t in range(40)])
    lines = Lines(script.open, rotation=Rotation(lines=3, seconds=1000.0))
    events = feed(lines, 0.0, 40.0)

    assert [text for text, _, _ in finals(events)] == [f"line {t}" for t in range(40)]
    assert 3 <= len(script.sources) <= 4


def test_endless_line_is_cut() -> None:
    """A line without an end doesn't keep its source for ever."""
    script = Script([(0.5, 1000.0, "la " * 100)])
    lines = Lines(script.open, rotation=Rotation(limit=5.0))
    feed(lines, 0.0, 6.0)

    assert script.sources[0].closed


def test_close_frees_the_source() -> None:
    """Close frees the source, also twice."""
    script = Script([])
    lines = Lines(script.open)
    feed(lines, 0.0, 1.0)
    lines.close()
    lines.close()

    assert script.sources[0].closed
