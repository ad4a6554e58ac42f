"""A transcript fed in real time, and what it tells."""

from __future__ import annotations

from captiond.engines.remote.transcript import Offsets, Transcript
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
