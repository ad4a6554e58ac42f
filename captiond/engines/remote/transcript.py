"""
From the audio sent and what a service says of it to a session's events.

No I/O: an engine tells what happened and when, and passes on the events that come back.
Services tell little and late: some give no times, some no ends, some never answer for
noise. Here is what all of them need, so that the contract of
:mod:`captiond.live.session` holds whatever they do:

* An utterance gets one id, its interims come only while it's open, and one final ends
  it. Items of a service that overlap are told one after the other.
* One whose final doesn't come in time, although the service says other things, is
  *promoted*: its last interim becomes final. A final that comes later, or twice, is
  left out, but for words that go on from it.
* A time that the service doesn't give is taken from the local detector, and no time is
  before the last final or after the audio sent. The end of an interim without a time
  is where the audio had been when the one before came: never later than the truth by
  more than the service is late.
* Audio is settled up to the oldest speech without an answer. What the service never
  answers was noise, unless it has fallen silent altogether: then nothing more counts
  as heard, and whoever owns the session gives it up.

An engine calls, in the order of the steps of
:class:`captiond.engines.remote.outgoing.Outgoing`: :meth:`Transcript.audio`,
:meth:`~Transcript.speech_started`, :meth:`~Transcript.speech_ended` and
:meth:`~Transcript.endpoint`; for every message :meth:`~Transcript.alive`, and then what
it says; and :meth:`~Transcript.tick` a few times a second.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

from captiond.engines.remote.items import Item, Offsets, ServiceWord
from captiond.engines.remote.segments import Segments
from captiond.engines.remote.sent import SentAudio
from captiond.engines.remote.utterances import CURRENT, Utterances
from captiond.events import MediaTime
from captiond.live.session import (
    Flushed,
    Hypothesis,
    SessionEvent,
    Settled,
    SpeechEnded,
    SpeechStarted,
)

__all__ = ["CURRENT", "Offsets", "ServiceWord", "Transcript"]

SILENCE_MARGIN = 0.8
"""Seconds before the end of the audio in which speech not yet noticed may begin."""

SPEECH_MARGIN = 0.3
"""Seconds before speech that a service should have when it hears it again."""

SETTLE_STEP = 0.2
"""Seconds between two events about settled audio in silence."""

MUTE = 6.0
"""Seconds of speech that goes on without a word from the service: it may be noise."""

FORGOTTEN = 60.0
"""Seconds after which a service that says nothing is no longer about what it heard."""

FOREVER = float("inf")


class Transcript:
    """
    One session's account of audio and answers.

    Every method takes the monotonic time and returns the events to pass on, in order.

    Args:
        finalise_timeout: Seconds after the end of an utterance in which its final
            must come.
        interims: Whether the service says anything while speech goes on; if not, speech
            that goes on counts as heard.

    """

    def __init__(self, *, finalise_timeout: float = 2.5, interims: bool = True) -> None:
        self._timeout = finalise_timeout
        self._interims = interims
        self._sent = SentAudio()
        self._segments = Segments()
        self._utterances = Utterances(self._sent, self._segments)
        self._flushes: collections.deque[MediaTime] = collections.deque()
        self._life = -FOREVER
        """When the service last said anything."""
        self._progress = -FOREVER
        """When it last said something about audio."""
        self._covered = MediaTime(-FOREVER)
        """What had been sent by then."""
        self._first: MediaTime | None = None
        """Media time of the first sample sent."""
        self._settled: Settled | None = None

    # What is sent

    @property
    def position(self) -> MediaTime:
        """Media time after the last sample sent."""
        return self._sent.end

    def audio(self, start: MediaTime, seconds: float, now: float) -> list[SessionEvent]:
        """Note that audio was sent."""
        if self._first is None:
            self._first = self._utterances.settled = start
        self._sent.add(start, seconds, now)
        return self._done([])

    def speech_started(self, at: MediaTime, now: float) -> list[SessionEvent]:
        """Note that the local detector heard speech begin."""
        self._segments.begin(at, now)
        return self._done([SpeechStarted(time=at)])

    def speech_ended(self, at: MediaTime, now: float) -> list[SessionEvent]:
        """Note that the local detector heard speech end."""
        self._segments.finish(at, now, asked=max(now, self._sent.worked_off))
        return self._done([SpeechEnded(time=at)])

    def endpoint(self, now: float) -> list[SessionEvent]:
        """Note that the service was asked for an end, even if speech goes on."""
        asked = max(now, self._sent.worked_off)
        self._segments.split(self.position, now, asked=asked)
        self._utterances.mark_all(asked)
        return self._done([])

    def flush(self) -> list[SessionEvent]:
        """
        Answer by ``Flushed`` once everything sent was answered.

        The engine has sent what was left and asked for the :meth:`endpoint` before.
        """
        self._flushes.append(self.position)
        return self._done([])

    # What the service says

    def alive(self, now: float) -> list[SessionEvent]:
        """Note that the service said something, whatever it was."""
        self._life = now
        self._segments.forget_overdue()
        return self._done([])

    def service_started(self, offset: float, now: float) -> list[SessionEvent]:
        """Note that the service heard speech begin at an offset."""
        self._noticed(now, offset)
        self._utterances.activity.began(offset, now)
        return self._done([])

    def service_ended(self, offset: float, now: float) -> list[SessionEvent]:
        """Note that the service heard speech end at an offset."""
        self._noticed(now, offset)
        self._utterances.activity.ended(offset, now)
        self._utterances.mark(CURRENT, now)
        return self._done([])

    def announce(self, key: str, now: float) -> list[SessionEvent]:
        """Note that the service named an utterance: they are told in this order."""
        self._noticed(now)
        return self._done([*self._utterances.announce(key, now)])

    def interim(
        self,
        text: str,
        now: float,
        *,
        key: str = CURRENT,
        offsets: Offsets | None = None,
        language: str | None = None,
    ) -> list[SessionEvent]:
        """Take what the service believes of an utterance: all of its text so far."""
        self._noticed(now, None if offsets is None else offsets.end)
        told = self._utterances.interim(
            text, now, key=key, offsets=offsets, language=language
        )
        return self._done([*told])

    def final(
        self,
        text: str,
        now: float,
        *,
        key: str = CURRENT,
        offsets: Offsets | None = None,
        language: str | None = None,
        words: Sequence[ServiceWord] = (),
    ) -> list[SessionEvent]:
        """Take the last that the service says of an utterance; no text withdraws it."""
        self._noticed(now, None if offsets is None else offsets.end)
        told = self._utterances.final(
            text, now, key=key, offsets=offsets, language=language, words=words
        )
        return self._done([*told])

    def complete(self, now: float, *, key: str = CURRENT) -> list[SessionEvent]:
        """Note that the service said that an utterance has ended, not what it was."""
        self._noticed(now)
        self._utterances.mark(key, now)
        return self._done([])

    # What time does

    @property
    def speaking(self) -> bool:
        """Whether the local detector hears speech."""
        return self._segments.open is not None

    @property
    def open_text(self) -> str:
        """Text of the utterance that is open; empty if there is none."""
        head = self._utterances.head
        return head.text if head is not None else ""

    @property
    def pending(self) -> bool:
        """Whether something that was sent has no answer."""
        return self._waits_for(self.position)

    @property
    def repeats(self) -> int:
        """Texts left out so far because they had been told."""
        return self._utterances.repeats

    def tick(self, now: float) -> list[SessionEvent]:
        """End what waited long enough."""
        told: list[SessionEvent] = []
        while (head := self._utterances.head) is not None and now > self._due(head):
            told += self._utterances.promote(now)
        while self._utterances.head is None and self._is_noise(now):
            pass
        self._utterances.activity.forget(
            before=max(self._progress, now - FORGOTTEN) - 4 * self._timeout
        )
        return self._done(told)

    def finish(self, now: float) -> list[SessionEvent]:
        """Wait no longer: what was said last of each utterance is final."""
        told: list[SessionEvent] = []
        while self._utterances.head is not None:
            told += self._utterances.promote(now)
        events = self._done(told)
        events += [Flushed()] * len(self._flushes)
        self._flushes.clear()
        return events

    def _due(self, head: Item) -> float:
        """Return when the open utterance will have waited long enough."""
        segment = self._segments.oldest
        if segment is not None and segment.asked is not None:
            if segment.ended is None or self._life < segment.ended:
                return FOREVER  # nobody may be there any more
            since = min(
                max(segment.asked, head.active), segment.asked + 2 * self._timeout
            )
        elif head.marked is not None:
            since = head.marked
        elif segment is None:
            # Only the service heard it; nobody here knows when it ends.
            since = head.active + self._timeout
        else:
            return FOREVER
        return max(since, head.first_since) + self._timeout

    def _is_noise(self, now: float) -> bool:
        """Decide about speech that the service says nothing about, if it's due."""
        segment = self._segments.awaited
        if segment is None:
            return False
        if segment.asked is None:
            since, patience = segment.begun, MUTE
            if not self._interims:
                return False
        else:
            since, patience = segment.asked, self._timeout
        if now <= max(since, self._progress) + patience:
            return False
        return self._segments.give_up(
            self.position,
            now,
            life=self._life,
            answered=self._progress > -FOREVER,
        )

    def _noticed(self, now: float, offset: float | None = None) -> None:
        if offset is not None and self._sent.may_be(offset):
            self._sent.caught_up(offset, now)
            self._segments.hurry(self._sent.worked_off)
            self._utterances.hurry(self._sent.worked_off)
        self._life = self._progress = now
        self._covered = self.position
        self._segments.forget_overdue()

    # What is settled

    def _done(self, events: list[SessionEvent]) -> list[SessionEvent]:
        settled = self._settlement()
        if settled is not None and self._is_news(settled, events):
            self._settled = settled
            self._utterances.settled = settled.time
            events.append(settled)
        while self._flushes and not self._waits_for(self._flushes[0]):
            self._flushes.popleft()
            events.append(Flushed())
        return events

    def _settlement(self) -> Settled | None:
        if self._first is None:
            return None
        head, oldest = self._utterances.head, self._segments.oldest
        heard = needed = self.position
        if head is not None:
            began = head.began - SILENCE_MARGIN if head.start is None else head.start
            needed = MediaTime(began - SPEECH_MARGIN)
            heard = max(needed, self._covered)
        if oldest is not None:
            needed = MediaTime(min(needed, oldest.start - SPEECH_MARGIN))
            if self._interims or oldest.end is not None:
                heard = max(oldest.start, self._covered)
        if head is None and oldest is None:
            needed = MediaTime(self.position - SILENCE_MARGIN)
        heard = min(max(heard, self._first), self.position)
        needed = min(max(needed, self._utterances.last_end, self._first), heard)
        if self._settled is not None:
            needed = max(needed, self._settled.time)
            heard = max(heard, self._settled.heard)
        return Settled(time=needed, heard=heard)

    def _is_news(self, settled: Settled, events: list[SessionEvent]) -> bool:
        last = self._settled
        if last is None:
            return True
        if any(isinstance(event, Hypothesis) and event.final for event in events):
            return settled != last
        return (
            settled.time - last.time >= SETTLE_STEP
            or settled.heard - last.heard >= SETTLE_STEP
        )

    def _waits_for(self, mark: MediaTime) -> bool:
        return self._segments.expects(before=mark) or self._utterances.waits(until=mark)
