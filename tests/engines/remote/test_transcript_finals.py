"""One final for each utterance, though services lose them and send them twice."""

from __future__ import annotations

from captiond.events import MediaTime
from tests.engines.remote.telling import Session


def test_promotion() -> None:
    """An utterance whose final doesn't come ends in its last interim."""
    session = Session()
    session.speech(1.0, 3.0)
    session.interim("it was the best")
    session.run(5.9)
    assert not session.finals

    session.run(7.0)
    assert session.told[-1] == ("u1", True, "it was the best")
    assert session.spans == [(1.0, 3.0)]


def test_a_late_final_is_left_out() -> None:
    """The final of a promoted utterance isn't told any more, but counted."""
    session = Session()
    session.speech(1.0, 3.0)
    session.interim("it was the best")
    session.run(7.0)
    session.final("That was the worst.")
    session.interim("that was")

    assert len(session.told) == 2
    assert session.transcript.repeats == 2


def test_words_that_go_on_from_a_promoted_final() -> None:
    """What a late final has more than the interim that had to do is not lost."""
    session = Session()
    session.speech(1.0, 3.0)
    session.interim("it was the best")
    session.run(7.0)
    session.final("It was the best of times.")
    session.final("It was the best of times.")

    assert session.told[-1] == ("u2", True, "of times.")
    assert len(session.finals) == 2


def test_a_final_that_comes_twice() -> None:
    """A final is told once, whether or not somebody speaks again already."""
    session = Session()
    session.speech(1.0, 3.0)
    session.final("It was the best of times.")
    session.run(4.0)
    session.final("It was the best of times.")
    session.run(5.0)
    session.keep(session.transcript.speech_started(MediaTime(4.5), session.now))
    session.final("It was the best of times.")
    session.run(6.0)
    session.interim("it was the worst")
    session.final("It was the best of times.")
    session.run(8.0)
    session.stop_speech(7.0)
    session.final("It was the worst of times.")

    assert [final.text for final in session.finals] == [
        "It was the best of times.",
        "It was the worst of times.",
    ]
    assert session.transcript.repeats == 3


def test_a_speaker_who_repeats_herself() -> None:
    """The same words said twice are told twice."""
    session = Session()
    session.speech(1.0, 1.5)
    session.final("Yes.")
    session.speech(4.0, 4.5)
    session.final("Yes.")
    session.run(6.0)
    session.keep(session.transcript.speech_started(MediaTime(5.8), session.now))
    session.run(8.0)
    session.interim("it was the best of times")
    session.run(9.0)
    session.stop_speech(8.4)
    session.final("It was the best of times.")
    session.speech(10.0, 12.0)
    session.interim("it was the best of times")
    session.final("It was the best of times.")

    assert [f.text for f in session.finals][:2] == ["Yes.", "Yes."]
    assert len(session.finals) == 4


def test_the_final_of_an_utterance_is_lost() -> None:
    """Interims of the next one end it, and its late final is still recognised."""
    session = Session()
    session.speech(1.0, 5.0)
    session.interim("it was the best of times")
    session.keep(session.transcript.service_ended(5.0, session.now))
    session.run(6.0)
    session.keep(session.transcript.speech_started(MediaTime(5.7), session.now))
    session.run(6.5)
    session.interim("it")
    session.interim("it was the worst")
    session.final("It was the best of all times.")
    session.run(8.6)
    session.stop_speech(8.0)
    session.final("It was the worst.")

    assert session.told == [
        ("u1", False, "it was the best of times"),
        ("u1", True, "it was the best of times"),
        ("u2", False, "it"),
        ("u2", False, "it was the worst"),
        ("u2", True, "It was the worst."),
    ]
    assert session.spans == [(1.0, 5.0), (5.7, 8.0)]


def test_final_and_interim_of_what_follows() -> None:
    """A last word that becomes an utterance of its own is told."""
    session = Session()
    session.speech(1.0, 5.0)
    session.interim("it was the best of times")
    session.final("It was the best of.")
    session.interim("times")
    session.final("Times.")

    assert session.told[1:] == [
        ("u1", True, "It was the best of."),
        ("u2", False, "times"),
        ("u2", True, "Times."),
    ]


def test_items_out_of_order() -> None:
    """Items are told in the order in which they were announced."""
    session = Session(timeout=10.0)
    session.speech(1.0, 3.0)
    session.keep(session.transcript.announce("a", session.now))
    session.speech(4.0, 6.0)
    session.keep(session.transcript.announce("b", session.now))
    session.interim("two", key="b")
    session.final("Two.", key="b")
    assert session.told == []

    session.interim("one", key="a")
    session.final("One.", key="a")
    session.final("One.", key="a")
    session.interim("two", key="b")
    assert session.told == [
        ("u1", False, "one"),
        ("u1", True, "One."),
        ("u2", True, "Two."),
    ]
    assert session.spans == [(1.0, 3.0), (4.0, 6.0)]
    assert session.transcript.repeats == 2


def test_an_item_without_text() -> None:
    """One that the service gives up withdraws its utterance; the next goes on."""
    session = Session()
    session.speech(1.0, 3.0)
    session.interim("hm", key="a")
    session.final("", key="a")
    session.final("", key="never announced")
    session.speech(4.0, 6.0)
    session.keep(session.transcript.announce("b", session.now))
    session.run(12.0)

    assert session.told == [("u1", False, "hm"), ("u1", True, "")]
    assert not session.transcript.pending


def test_the_service_says_that_an_utterance_has_ended() -> None:
    """Then its final is waited for, unless it goes on."""
    session = Session()
    session.run(1.2)
    session.keep(session.transcript.speech_started(MediaTime(1.0), session.now))
    session.run(3.0)
    session.interim("it was")
    session.keep(session.transcript.complete(session.now))
    session.run(4.0)
    session.interim("it was the best")
    session.run(9.0)
    assert not session.finals

    session.keep(session.transcript.complete(session.now))
    session.run(12.0)
    assert session.told[-1] == ("u1", True, "it was the best")


def test_many_items() -> None:
    """Items that never end don't pile up."""
    session = Session()
    session.run(1.0)
    for number in range(100):
        session.interim(f"text {number}", key=str(number))

    assert len(session.finals) == 36
