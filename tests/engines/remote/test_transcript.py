"""Utterances and their times, as a transcript tells them."""

from __future__ import annotations

from captiond.engines.remote.transcript import Offsets, ServiceWord
from captiond.events import MediaTime
from captiond.live.session import Hypothesis
from tests.engines.remote.telling import Session


def test_an_utterance() -> None:
    """Interims and final have one id, and the times of the local segment."""
    session = Session()
    session.run(2.3)
    session.keep(session.transcript.speech_started(MediaTime(2.0), session.now))
    session.run(3.0)
    session.interim("it was")
    session.run(4.0)
    session.interim("it was the best")
    session.run(5.6)
    session.stop_speech(5.0)
    session.run(5.9)
    session.final("It was the best.")

    assert session.told == [
        ("u1", False, "it was"),
        ("u1", False, "it was the best"),
        ("u1", True, "It was the best."),
    ]
    assert session.spans == [(2.0, 5.0)]
    final = session.finals[0]
    assert final.produced == session.now
    assert final.heard is not None
    assert abs(final.heard - 1005.0) < 0.11


def test_the_end_of_an_interim_is_never_the_newest_audio() -> None:
    """An interim without a time covers what had been sent when the last one came."""
    session = Session()
    session.run(2.3)
    session.keep(session.transcript.speech_started(MediaTime(2.0), session.now))
    session.run(4.0)
    session.interim("it was")
    session.run(4.5)
    session.interim("it was the best")

    interims = [e for e in session.events if isinstance(e, Hypothesis)]
    assert [round(e.end, 3) for e in interims] == [3.0, 4.0]
    assert [e.heard for e in interims] == [None, None]


def test_offsets_of_the_service() -> None:
    """Offsets count audio sent; the media clock may have jumped in between."""
    session = Session()
    session.run(2.0)
    session.keep(session.transcript.endpoint(session.now))
    session.media = 30.0
    session.speech(30.5, 33.0)
    session.final("It was the best.", offsets=Offsets(start=2.6, end=4.9))

    assert session.spans == [(30.6, 32.9)]


def test_words() -> None:
    """Words of the service are moved to the media clock."""
    session = Session()
    session.media = 10.0
    session.speech(10.5, 13.0)
    words = [
        ServiceWord(text="It", start=0.6, end=0.8, confidence=0.5),
        ServiceWord(text="was", start=0.7, end=1.2),
        ServiceWord(text="never", start=900.0, end=901.0),
    ]
    session.keep(session.transcript.final("It was never", session.now, words=words))

    told = [
        (w.text, round(w.start, 3), round(w.end, 3)) for w in session.finals[0].words
    ]
    assert told == [("It", 10.6, 10.8), ("was", 10.8, 11.2)]
    assert session.finals[0].words[0].confidence == 0.5


def test_a_silent_activity_moves_no_times() -> None:
    """What the service heard and had no words for doesn't lend its place to a text."""
    session = Session()
    session.speech(1.0, 1.4)
    session.keep(session.transcript.service_started(1.2, session.now))
    session.keep(session.transcript.service_ended(2.0, session.now))
    session.run(4.2)
    session.keep(session.transcript.speech_started(MediaTime(4.0), session.now))
    session.keep(session.transcript.service_started(4.1, session.now))
    session.run(5.0)
    session.interim("it was")
    session.run(6.6)
    session.stop_speech(6.0)
    session.keep(session.transcript.service_ended(6.6, session.now))
    session.final("It was.")

    assert session.spans == [(4.1, 6.0)]


def test_a_long_activity() -> None:
    """Speech of a minute ends where the service says; one without an end is closed."""
    session = Session()
    session.run(1.2)
    session.keep(session.transcript.speech_started(MediaTime(1.0), session.now))
    session.keep(session.transcript.service_started(1.1, session.now))
    for second in range(2, 60):
        session.run(float(second))
        session.interim("so " * second)
    session.keep(session.transcript.service_ended(58.0, session.now))
    session.final("So " * 60)
    session.keep(session.transcript.service_started(58.5, session.now))
    session.run(62.0)
    session.keep(session.transcript.service_started(61.0, session.now))
    session.interim("and")
    session.run(64.0)
    session.keep(session.transcript.service_ended(63.0, session.now))
    session.final("And.")

    assert session.spans == [(1.1, 58.0), (61.0, 63.0)]


def test_a_final_while_speech_goes_on() -> None:
    """The rest of the speech is another utterance, which starts there."""
    session = Session()
    session.run(1.2)
    session.keep(session.transcript.speech_started(MediaTime(1.0), session.now))
    session.keep(session.transcript.service_started(1.1, session.now))
    session.run(10.0)
    session.interim("it was the best of times")
    session.keep(session.transcript.service_ended(9.0, session.now))
    session.final("It was the best of times.")
    assert session.settled.time <= 9.0

    session.run(12.0)
    session.interim("it was the worst")
    session.run(14.0)
    session.stop_speech(13.4)
    session.final("It was the worst of times.")
    assert session.spans == [(1.1, 9.0), (9.0, 13.4)]
    assert [final.utterance for final in session.finals] == ["u1", "u2"]


def test_finals_within_one_segment() -> None:
    """A service may find more utterances than pauses: none is lost."""
    session = Session()
    session.run(1.2)
    session.keep(session.transcript.speech_started(MediaTime(1.0), session.now))
    session.run(5.0)
    session.interim("it was the best of times")
    session.run(9.6)
    session.stop_speech(9.0)
    session.final("It was the best of times.", offsets=Offsets(start=1.1, end=4.0))
    session.final("It was the worst of times.", offsets=Offsets(start=4.2, end=9.0))
    session.final("What else?")

    assert [f.text for f in session.finals][2] == "What else?"
    assert session.spans[:2] == [(1.1, 4.0), (4.2, 9.0)]
    assert not session.transcript.pending


def test_speech_that_only_the_service_hears() -> None:
    """It is told and ends, without a local segment."""
    session = Session()
    session.run(5.0)
    session.interim("it was")
    session.run(6.0)
    session.interim("it was the best")
    session.run(10.9)
    assert not session.finals

    session.run(12.0)
    assert session.told[-1] == ("u1", True, "it was the best")
    assert session.settled.time >= 10.9
