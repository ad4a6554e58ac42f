"""When speech begins and ends, and which words belong to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from tests.servers.ear import Ear, Ended, HearingEvent, Started, VoiceActivity, Words
from tests.servers.programme import Programme


@pytest.fixture(scope="module")
def programme() -> Programme:
    return Programme.packaged()


def texts(events: Sequence[HearingEvent]) -> list[str]:
    return [w.text for e in events if isinstance(e, Words) for w in e.words]


def turns(events: Sequence[HearingEvent]) -> list[Started | Ended]:
    """Return the turns, with their times in whole milliseconds."""
    return [
        dataclasses.replace(event, at=round(event.at, 3))
        for event in events
        if not isinstance(event, Words)
    ]


def said(programme: Programme, start: float, end: float) -> list[str]:
    return [word.text for word in programme.words_between(start, end)]


def test_three_flags_in_a_row_begin_speech() -> None:
    """Shorter sounds don't; the start is that of the first."""
    activity = VoiceActivity(0.1)

    assert activity.push([True, True, False, True]) == []
    assert turns(activity.push([True, True])) == [Started(0.06)]
    assert activity.active


def test_silence_ends_speech_where_the_last_sound_was() -> None:
    """It takes as long as was chosen, and a sound in between starts it over."""
    activity = VoiceActivity(0.1)
    activity.push([True] * 3)

    assert activity.push([False] * 4 + [True] + [False] * 4) == []
    assert turns(activity.push([False])) == [Ended(0.16)]
    assert activity.push([False] * 50) == []
    assert not activity.active


def test_stopped_speech_begins_anew() -> None:
    """After a stop there is no end, and the next sound is a start."""
    activity = VoiceActivity(0.1)
    activity.push([True] * 4)
    activity.stop()

    assert activity.push([False] * 10) == []
    assert turns(activity.push([True] * 3)) == [Started(0.28)]


@pytest.mark.parametrize("chunk", [640, 3200, 320_000])
def test_words_come_within_their_speech(programme: Programme, chunk: int) -> None:
    """Even if one chunk holds several utterances, each word is in its own."""
    ear = Ear(programme, silence=0.2)
    pcm = programme.between(0, 20)
    events: list[HearingEvent] = []
    for start in range(0, len(pcm), chunk):
        events += ear.hear(pcm[start : start + chunk])

    edge = 0.0
    for event in events:
        match event:
            case Started(at) | Ended(at):
                assert at >= edge
                edge = at
            case Words(words):
                assert words[0].start >= edge - 0.1
    assert texts(events)[:12] == said(programme, 0, 4.8)
    assert len([t for t in turns(events) if isinstance(t, Ended)]) >= 5


def test_a_flush_ends_what_goes_on(programme: Programme) -> None:
    """It has the words that were waiting; where nothing goes on it is nothing."""
    ear = Ear(programme, silence=1.0)
    events = ear.hear(programme.between(0, 4.58))
    assert ear.active
    events += ear.flush()

    assert texts(events) == said(programme, 0, 4.6)
    assert turns(events)[-1] == Ended(4.58)
    assert not ear.active
    assert ear.flush() == []
    assert Ear(programme, silence=1.0).flush() == []


def test_by_hand_only_what_is_between_the_marks_is_heard(programme: Programme) -> None:
    """The clock goes on outside of them."""
    ear = Ear(programme, silence=None)
    assert ear.hear(programme.between(0, 4.8)) == []
    events = ear.open()
    assert ear.active
    events += ear.hear(programme.between(4.8, 8.5))
    events += ear.shut()
    assert ear.hear(programme.between(8.5, 12)) == []

    assert turns(events) == [Started(4.8), Ended(8.5)]
    assert texts(events) == said(programme, 4.8, 8.5)
    assert ear.seconds == 12.0
    assert not ear.active


def test_one_short_word_is_known_at_the_end_of_the_speech(
    programme: Programme,
) -> None:
    """There is too little audio to find its place before; then it is found."""
    word = next(w for w in programme.words if w.text == "light")
    ear = Ear(programme, silence=0.3)
    pcm = bytes(16_000) + programme.between(word.start - 0.02, word.end + 0.02)
    events = ear.hear(pcm + bytes(32_000))

    assert texts(events) == ["light"]
    assert isinstance(events[-1], Ended)


def test_another_rate_than_before_is_refused(programme: Programme) -> None:
    """An ear has one rate."""
    ear = Ear(programme, silence=0.5)
    ear.hear(bytes(640), rate=24_000)

    with pytest.raises(ValueError, match="audio at 16000 Hz after audio at 24000 Hz"):
        ear.hear(bytes(640))
