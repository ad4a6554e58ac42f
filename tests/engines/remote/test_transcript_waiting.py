"""What is waited for, what counts as heard, and when it is given up."""

from __future__ import annotations

from captiond.events import MediaTime
from tests.engines.remote.telling import Session


def test_settling() -> None:
    """Silence is settled behind the audio, speech only once it was answered."""
    session = Session()
    session.run(2.2)
    assert session.settled.heard >= 1.9
    assert session.settled.time >= 1.1

    session.speech(2.0, 5.0)
    assert session.settled.time <= 1.7
    assert session.settled.heard <= 2.2

    session.interim("it was")
    assert session.settled.heard >= 5.4
    assert session.settled.time <= 1.7

    session.final("It was.")
    assert session.settled.time >= 5.0


def test_noise() -> None:
    """Sound that the service says nothing about is settled without a word."""
    session = Session()
    session.speech(1.0, 1.6)
    session.run(5.0)

    assert session.told == []
    assert session.settled.heard >= 4.7
    assert session.settled.time >= 3.9


def test_a_service_that_has_fallen_silent() -> None:
    """Speech without any sign of life stays unheard, for the next session to hear."""
    session = Session()
    session.speech(1.0, 3.0)
    session.final("It was.")
    session.speech(5.0, 9.0)
    session.speech(11.0, 14.0)
    session.run(60.0)
    assert session.settled.heard <= 5.3
    assert session.settled.time <= 5.0
    assert session.transcript.pending

    session.keep(session.transcript.alive(session.now))
    session.run(61.0)
    assert session.settled.heard >= 60.0


def test_a_service_that_falls_silent_in_an_utterance() -> None:
    """It isn't promoted: the next session hears all of it, and flush waits for that."""
    session = Session()
    session.run(1.2)
    session.keep(session.transcript.speech_started(MediaTime(1.0), session.now))
    session.run(3.0)
    session.interim("it was")
    session.run(6.6)
    session.stop_speech(6.0)
    session.keep(session.transcript.flush())
    session.run(30.0)

    assert session.told == [("u1", False, "it was")]
    assert session.settled.time <= 1.0
    assert session.settled.heard <= 3.1
    assert session.flushed == 0


def test_a_service_that_hears_something_else_in_it() -> None:
    """Speech is settled without a word when the service was alive meanwhile."""
    session = Session()
    session.speech(1.0, 3.0)
    session.final("It was.")
    session.speech(5.0, 9.0)
    session.run(10.0)
    session.keep(session.transcript.alive(session.now))
    session.run(13.5)

    assert session.settled.heard >= 13.2


def test_a_service_that_never_said_anything() -> None:
    """Some sound at first is taken for noise, but not all there ever is."""
    session = Session()
    session.speech(1.0, 5.0)
    session.run(10.0)
    assert session.settled.heard >= 9.8

    session.speech(11.0, 16.0)
    session.speech(18.0, 23.0)
    session.run(60.0)
    assert session.settled.heard <= 18.1


def test_speech_without_end_that_the_service_ignores() -> None:
    """Music that goes on is not waited for as long as the service was just there."""
    session = Session()
    session.run(1.2)
    session.keep(session.transcript.speech_started(MediaTime(1.0), session.now))
    session.run(2.0)
    session.keep(session.transcript.service_started(1.0, session.now))
    session.run(9.0)
    assert session.settled.heard >= 7.5

    session.run(40.0)
    assert session.settled.heard <= 9.0


def test_services_without_interims() -> None:
    """Speech that goes on counts as heard, and is not settled."""
    session = Session(interims=False)
    session.run(1.2)
    session.keep(session.transcript.speech_started(MediaTime(1.0), session.now))
    session.run(30.0)

    assert session.settled.heard >= 29.7
    assert session.settled.time <= 1.0


def test_audio_sent_at_once() -> None:
    """A service that gets much audio at once has the time to work it off."""
    session = Session()
    for second in range(20):
        session.keep(session.transcript.audio(MediaTime(second), 1.0, session.now))
        if second in (1, 10):
            at = MediaTime(second)
            session.keep(session.transcript.speech_started(at, session.now))
        if second in (8, 18):
            session.stop_speech(second)
    session.interim("it was")
    for _ in range(17):
        session.now += 0.25
        session.keep(session.transcript.tick(session.now))
    assert not session.finals

    session.final("It was the best.")
    session.interim("it was the worst")
    # Once the service says that it has heard everything, it isn't waited for longer.
    session.keep(session.transcript.service_ended(20.0, session.now))
    session.now += 2.7
    session.keep(session.transcript.tick(session.now))
    assert session.spans == [(1.2, 8.0), (10.0, 18.0)]


def test_flush() -> None:
    """Flushed comes at once in silence, else with the last final or its time-out."""
    session = Session()
    session.run(3.0)
    session.keep(session.transcript.flush())
    assert session.flushed == 1

    session.speech(4.0, 6.0)
    session.keep(session.transcript.flush())
    assert session.flushed == 1
    session.final("It was.")
    assert session.flushed == 2

    session.speech(8.0, 12.0)
    session.keep(session.transcript.flush())
    session.interim("it was")
    session.run(14.0)
    assert session.flushed == 2
    session.run(16.0)
    assert session.flushed == 3


def test_flush_while_speech_goes_on() -> None:
    """What was said so far is answered; the rest is no concern of it."""
    session = Session()
    session.run(1.2)
    session.keep(session.transcript.speech_started(MediaTime(1.0), session.now))
    session.run(4.0)
    session.interim("it was")
    session.keep(session.transcript.endpoint(session.now))
    session.keep(session.transcript.flush())
    assert session.flushed == 0

    session.final("It was.")
    assert session.flushed == 1
    assert session.spans == [(1.0, 4.0)]
    session.run(7.0)
    session.stop_speech(6.4)
    session.final("the best")
    assert session.spans[1] == (4.0, 6.4)


def test_finish() -> None:
    """At the end everything said is final, and every flush is answered."""
    session = Session()
    session.speech(1.0, 3.0)
    session.interim("one", key="a")
    session.interim("two", key="b")
    session.keep(session.transcript.flush())
    session.keep(session.transcript.finish(session.now))

    assert [final.text for final in session.finals] == ["one", "two"]
    assert session.flushed == 1
