"""What a transcript makes of a service's answers, one story at a time."""

from __future__ import annotations

from captiond.engines.remote.transcript import Offsets, ServiceWord, Transcript
from captiond.events import MediaTime
from captiond.live.session import Flushed, Hypothesis, SessionEvent, Settled


class Session:
    """A transcript fed in real time; the monotonic clock is the media clock + 1000."""

    def __init__(self, *, timeout: float = 2.5, interims: bool = True) -> None:
        self.transcript = Transcript(finalise_timeout=timeout, interims=interims)
        self.events: list[SessionEvent] = []
        self.now = 1000.0
        self.media = 0.0

    def keep(self, events: list[SessionEvent]) -> None:
        self.events += events

    def run(self, until: float) -> None:
        """Send audio in real time up to a media time."""
        while self.media < until - 1e-6:
            self.now += 0.1
            self.keep(self.transcript.audio(MediaTime(self.media), 0.1, self.now))
            self.media += 0.1
            self.keep(self.transcript.tick(self.now))

    def speech(self, start: float, end: float) -> None:
        """Send speech and the pause after which the detector is sure."""
        self.run(start + 0.2)
        self.keep(self.transcript.speech_started(MediaTime(start), self.now))
        self.run(end + 0.6)
        self.stop_speech(end)

    def stop_speech(self, end: float) -> None:
        self.keep(self.transcript.speech_ended(MediaTime(end), self.now))
        self.keep(self.transcript.endpoint(self.now))

    def interim(self, text: str, **fields: Offsets | str) -> None:
        self.keep(self.transcript.alive(self.now))
        self.keep(self.transcript.interim(text, self.now, **fields))  # type: ignore[arg-type]

    def final(self, text: str, **fields: Offsets | str) -> None:
        self.keep(self.transcript.alive(self.now))
        self.keep(self.transcript.final(text, self.now, **fields))  # type: ignore[arg-type]

    @property
    def told(self) -> list[tuple[str, bool, str]]:
        return [
            (event.utterance, event.final, event.text)
            for event in self.events
            if isinstance(event, Hypothesis)
        ]

    @property
    def finals(self) -> list[Hypothesis]:
        return [e for e in self.events if isinstance(e, Hypothesis) and e.final]

    @property
    def spans(self) -> list[tuple[float, float]]:
        return [(round(f.start, 3), round(f.end, 3)) for f in self.finals]

    @property
    def settled(self) -> Settled:
        return [event for event in self.events if isinstance(event, Settled)][-1]

    @property
    def flushed(self) -> int:
        return sum(isinstance(event, Flushed) for event in self.events)


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


def test_many_items() -> None:
    """Items that never end don't pile up."""
    session = Session()
    session.run(1.0)
    for number in range(100):
        session.interim(f"text {number}", key=str(number))

    assert len(session.finals) == 36
