"""Tests of turns: which audio an item is about, whatever order it is told in."""

from __future__ import annotations

import pytest

from captiond.engines.openai_realtime.turns import MAX_AHEAD, MAX_PENDING, Turns


@pytest.fixture
def turns() -> Turns:
    """Turns that captiond ends."""
    return Turns()


@pytest.fixture
def served() -> Turns:
    """Turns that the server ends."""
    return Turns(by_server=True)


def speak(turns: Turns, seconds: float) -> None:
    """Send speech, and half a second of silence."""
    turns.audio(seconds)
    turns.speech_started(seconds)
    turns.audio(0.5)
    turns.speech_ended(0.5)


class TestOfClient:
    """Each commit of ours makes one."""

    def test_items_in_order(self, turns: Turns) -> None:
        """Commits are answered in order, transcripts may not be."""
        for _ in range(2):
            speak(turns, 2.0)
            turns.asked()
        first = turns.committed("a", None, 0.0)
        second = turns.committed("b", "a", 0.0)

        assert first is not None
        assert second is not None
        assert (first.start, first.end) == (0.0, 2.0)
        assert (second.start, second.end) == (2.5, 4.5)
        assert turns.over("b") is second
        assert turns.over("a") is first

    def test_told_before_the_commit(self, turns: Turns) -> None:
        """A streaming model speaks of an item while it is open."""
        speak(turns, 2.0)
        early = turns.spoken_of("a")
        turns.asked()

        assert turns.committed("a", None, 0.0) is early
        assert turns.spoken_of("a") is early
        assert turns.over("a") is early

    def test_previous_item(self, turns: Turns) -> None:
        """It tells which commit is meant, should one be missing."""
        for _ in range(3):
            speak(turns, 1.0)
            turns.asked()
        turns.committed("a", None, 0.0)
        second = turns.committed("b", "a", 0.0)

        assert second is not None
        assert second.number == 1

    def test_transcript_twice(self, turns: Turns) -> None:
        """The second one is about nothing, and so is all else about the item."""
        speak(turns, 1.0)
        turns.asked()
        turns.committed("a", None, 0.0)
        turns.over("a")

        assert turns.is_closed("a")
        assert turns.over("a") is None
        assert turns.spoken_of("a") is None
        assert turns.committed("a", None, 0.0) is None

    def test_unknown_item(self, turns: Turns) -> None:
        """Nothing was committed: nothing can be over."""
        speak(turns, 1.0)

        assert turns.over("x") is None
        assert not turns.is_closed("x")

    def test_transcript_without_commit(self, turns: Turns) -> None:
        """It is about the first commit that has no item."""
        speak(turns, 1.0)
        turns.asked()
        turn = turns.over("a")

        assert turn is not None
        assert turn.number == 0

    def test_refused_commit(self, turns: Turns) -> None:
        """The next item is about the next commit."""
        speak(turns, 1.0)
        refused = turns.asked()
        turns.refused(refused)
        speak(turns, 1.0)
        turns.asked()
        turn = turns.committed("a", None, 0.0)

        assert turn is not None
        assert turn.number == 1

    def test_item_of_cleared_audio(self, turns: Turns) -> None:
        """What was said of it goes when another item takes its place."""
        turns.audio(10.0)
        first = turns.spoken_of("a")
        assert first is not None
        first.text = "thank you"
        turns.cleared(0.5)
        second = turns.spoken_of("b")

        assert second is first
        assert second.text == ""
        assert second.began == 9.5

    def test_worth_it(self, turns: Turns) -> None:
        """Only audio with speech, or with words, is worth a commit."""
        turns.audio(3.0)
        silent = turns.worth_it
        turns.speech_started(0.2)
        speaking = turns.worth_it
        turns.asked()
        turns.audio(0.6)
        turns.speech_ended(0.55)

        assert (silent, speaking, turns.worth_it) == (False, True, False)
        assert turns.open.start is None

    def test_cut_in_speech(self, turns: Turns) -> None:
        """What follows begins where the first part ends."""
        turns.audio(5.0)
        turns.speech_started(5.0)
        turns.asked()
        turns.audio(2.0)
        turns.speech_ended(0.5)

        assert turns.up_to(turns.open)[0].end == 5.0
        assert (turns.open.start, turns.open.end) == (5.0, 6.5)

    def test_forgotten(self, turns: Turns) -> None:
        """Transcripts that never come aren't waited for for ever."""
        for at, item in enumerate("abc"):
            speak(turns, 1.0)
            turns.asked()
            turns.committed(item, None, float(at))
        speak(turns, 1.0)
        turns.asked()

        assert turns.forget(before=1.5) == 2
        assert turns.over("c") is not None
        turn = turns.committed("d", "c", 5.0)
        assert turn is not None
        assert turn.number == 3

    def test_bound(self, turns: Turns) -> None:
        """A server that is far behind is waited for; too many turns aren't kept."""
        full = []
        for _ in range(MAX_PENDING + 5):
            speak(turns, 1.0)
            turns.asked()
            full.append(turns.overfull)

        assert full.index(True) == MAX_AHEAD - 1
        assert len(turns.up_to(turns.open)) == MAX_PENDING + 1

    def test_unasked_commit(self, turns: Turns) -> None:
        """A server that ends turns against our will is believed."""
        speak(turns, 1.0)
        turn = turns.committed("a", None, 0.0)

        assert turn is not None
        assert turn.number == 0
        assert turns.over("a") is turn


class TestOfServer:
    """The server ends them, and commits of ours are the exception."""

    def test_times(self, served: Turns) -> None:
        """They are the server's, less the silence that it waited for."""
        served.audio(3.0)
        served.server_started(0.4)
        served.server_stopped(2.5, 0.5)
        turn = served.committed("a", None, 0.0)

        assert turn is not None
        assert (turn.start, turn.end, turn.guessed) == (0.4, 2.0, False)
        assert served.open.began == 2.0

    def test_no_times(self, served: Turns) -> None:
        """Without them the end isn't known."""
        served.audio(3.0)
        served.server_started(None)
        served.server_stopped(None, 0.5)
        turn = served.committed("a", None, 0.0)

        assert turn is not None
        assert turn.guessed
        assert turn.end is None

    def test_commit_of_ours(self, served: Turns) -> None:
        """It ends where it was made, though the server is behind."""
        speak(served, 2.0)
        served.asked()
        speak(served, 2.0)
        served.server_started(0.1)
        turn = served.committed("a", None, 0.0)

        assert turn is not None
        assert (turn.start, turn.end) == (0.1, 2.5)

    def test_refused(self, served: Turns) -> None:
        """A commit that came too late has no item."""
        speak(served, 2.0)
        served.refused(served.asked())
        served.server_started(0.1)
        turn = served.committed("a", None, 0.0)

        assert turn is not None
        assert turn.end is None

    def test_worth_it(self, served: Turns) -> None:
        """What the server has ended needs no commit."""
        speak(served, 2.0)
        before = served.worth_it
        served.server_started(0.1)
        served.server_stopped(2.5, 0.5)

        assert (before, served.worth_it) == (True, False)


def test_loose_items() -> None:
    """A server whose transcripts have items of their own tells them in order."""
    turns = Turns(by_server=True, loose=True)
    for item in ("a", "b"):
        turns.audio(2.0)
        turns.committed(item, None, 0.0)
    first, second = turns.over("x"), turns.over("y")

    assert first is not None
    assert second is not None
    assert (first.item, second.item) == ("a", "b")
    assert turns.over("z") is None
