"""Whatever a service says, and when: the contract of the live session holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from captiond.engines.remote.transcript import (
    CURRENT,
    Offsets,
    ServiceWord,
    Transcript,
)
from captiond.events import MediaTime
from captiond.live.session import (
    Flushed,
    Hypothesis,
    SessionEvent,
    Settled,
    SpeechEnded,
    SpeechStarted,
)

EPSILON = 1e-9

Operation = Callable[["World"], list[SessionEvent]]


@dataclasses.dataclass
class World:
    """A transcript, the clocks, and what an engine keeps in mind."""

    transcript: Transcript
    now: float = 100.0
    media: float = 5.0
    offset: float = 0.0
    speaking: bool = False
    flushes: int = 0


@dataclasses.dataclass
class Reader:
    """What a reader of the events knows, and what must be true of it."""

    open: str | None = None
    done: set[str] = dataclasses.field(default_factory=set)
    last_end: float = float("-inf")
    settled: Settled | None = None
    speaking: bool = False
    flushed: int = 0

    def take(self, event: SessionEvent, position: float) -> None:
        match event:
            case Hypothesis():
                self.take_hypothesis(event, position)
            case Settled():
                self.take_settled(event, position)
            case SpeechStarted():
                assert not self.speaking
                self.speaking = True
            case SpeechEnded():
                assert self.speaking
                self.speaking = False
            case Flushed():
                self.flushed += 1
            case _:
                raise AssertionError(f"a transcript doesn't tell {event}")

    def take_hypothesis(self, event: Hypothesis, position: float) -> None:
        assert event.utterance not in self.done
        assert self.open in (None, event.utterance)
        assert event.start <= event.end <= position + EPSILON
        assert event.start >= self.last_end
        assert self.settled is None or event.start >= self.settled.time
        assert event.produced is not None
        assert event.heard is None or event.heard <= event.produced
        at = event.start
        for word in event.words:
            assert at <= word.start <= word.end <= position + EPSILON
            at = word.end
        self.open = event.utterance
        if event.final:
            self.done.add(event.utterance)
            self.open = None
            self.last_end = event.end

    def take_settled(self, event: Settled, position: float) -> None:
        assert event.time <= event.heard <= position + EPSILON
        if self.settled is not None:
            assert event.time >= self.settled.time
            assert event.heard >= self.settled.heard
        self.settled = event


offsets = st.one_of(
    st.none(),
    st.floats(-1, 30),
    st.sampled_from([float("nan"), float("inf"), 0.0, 1e9]),
)
"""Seconds before the end of what was sent, or nonsense."""

texts = st.sampled_from(
    ["", " ", "yes", "Yes.", "it was", "it was the best", "It was the best of times."]
)
keys = st.sampled_from([CURRENT, CURRENT, CURRENT, "a", "b", "c"])


def audio(seconds: float, jump: float) -> Operation:
    """A message of audio, after a jump of the media clock perhaps."""

    def apply(world: World) -> list[SessionEvent]:
        events: list[SessionEvent] = []
        if jump:
            if world.speaking:
                world.speaking = False
                events += world.transcript.speech_ended(
                    MediaTime(world.media), world.now
                )
            events += world.transcript.endpoint(world.now)
            world.media += jump
        events += world.transcript.audio(MediaTime(world.media), seconds, world.now)
        world.media += seconds
        world.offset += seconds
        return events

    return apply


def wait(seconds: float) -> Operation:
    """Time passes, and the engine looks at it."""

    def apply(world: World) -> list[SessionEvent]:
        world.now += seconds
        return world.transcript.tick(world.now)

    return apply


def speech(back: float) -> Operation:
    """The local detector changes its mind."""

    def apply(world: World) -> list[SessionEvent]:
        world.speaking = not world.speaking
        at = MediaTime(world.media - back)
        if world.speaking:
            return world.transcript.speech_started(at, world.now)
        events = world.transcript.speech_ended(at, world.now)
        return events + world.transcript.endpoint(world.now)

    return apply


def flush() -> Operation:
    """Somebody asks for everything."""

    def apply(world: World) -> list[SessionEvent]:
        world.flushes += 1
        return world.transcript.endpoint(world.now) + world.transcript.flush()

    return apply


def activity(start: bool, back: float | None) -> Operation:
    """The service says where speech is."""

    def apply(world: World) -> list[SessionEvent]:
        offset = world.offset - (0.0 if back is None else back)
        if start:
            return world.transcript.service_started(offset, world.now)
        return world.transcript.service_ended(offset, world.now)

    return apply


def said(
    final: bool, text: str, key: str, start: float | None, end: float | None
) -> Operation:
    """The service says a text."""

    def apply(world: World) -> list[SessionEvent]:
        given = Offsets(
            start=None if start is None else world.offset - start,
            end=None if end is None else world.offset - end,
        )
        offsets = None if start is None and end is None else given
        if not final:
            return world.transcript.interim(text, world.now, key=key, offsets=offsets)
        words = [
            ServiceWord(text=word, start=given.start or 0.0, end=given.end or 0.0)
            for word in text.split()
        ]
        return world.transcript.final(
            text, world.now, key=key, offsets=offsets, words=words
        )

    return apply


def noted(what: str, key: str) -> Operation:
    """The service says something without a text."""

    def apply(world: World) -> list[SessionEvent]:
        match what:
            case "alive":
                return world.transcript.alive(world.now)
            case "complete":
                return world.transcript.complete(world.now, key=key)
            case _:
                return world.transcript.announce(key or "d", world.now)

    return apply


operations = st.one_of(
    st.builds(audio, st.sampled_from([0.02, 0.1, 0.1, 1.0]), st.just(0.0)),
    st.builds(audio, st.just(0.1), st.sampled_from([0.0, 0.0, 0.2, 30.0])),
    st.builds(wait, st.sampled_from([0.05, 0.25, 3.0, 8.0])),
    st.builds(speech, st.floats(0, 0.6)),
    st.builds(flush),
    st.builds(activity, st.booleans(), offsets),
    st.builds(said, st.booleans(), texts, keys, offsets, offsets),
    st.builds(
        said, st.booleans(), texts, st.just(CURRENT), st.just(None), st.just(None)
    ),
    st.builds(noted, st.sampled_from(["alive", "complete", "announce"]), keys),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(operations, max_size=80), st.booleans())
def test_contract(script: list[Operation], interims: bool) -> None:
    """Events are in order, times are in bounds, each utterance ends once."""
    world = World(Transcript(finalise_timeout=2.5, interims=interims))
    reader = Reader()
    for operation in script:
        for event in operation(world):
            reader.take(event, world.transcript.position)
    for event in world.transcript.finish(world.now):
        reader.take(event, world.transcript.position)

    assert reader.open is None
    assert reader.flushed == world.flushes
    assert world.transcript.open_text == ""


@settings(max_examples=200, deadline=None)
@given(st.lists(operations, max_size=60))
def test_nothing_is_waited_for_for_ever(script: list[Operation]) -> None:
    """When the speaker has stopped and the service is there, time settles all."""
    world = World(Transcript(finalise_timeout=2.5))
    for operation in script:
        operation(world)
    if world.speaking:
        speech(0.0)(world)
    world.now += 1.0
    world.transcript.alive(world.now)
    # Up to 64 items may wait for each other, each for its time.
    for _ in range(100):
        wait(30.0)(world)

    assert not world.transcript.pending
    assert world.transcript.open_text == ""
