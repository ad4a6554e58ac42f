"""
What goes from one session to the next: the audio not settled, and the words said.

No I/O. Each second of audio is heard by somebody or told to be missing, and each word
is said once, however many sessions heard it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from captiond.events import Gap, MediaTime
from captiond.live.missing import Missing
from captiond.live.ring import AudioRing, Lost
from captiond.live.seam import Seam
from captiond.live.session import Hypothesis
from captiond.media.chunk import AudioChunk
from captiond.metrics import Metrics


class Continuity:
    """
    One stream's account of audio and words across its sessions.

    Args:
        ring_seconds: Seconds of audio that are kept.
        metrics: Where audio and words are counted.

    """

    def __init__(self, *, ring_seconds: float, metrics: Metrics) -> None:
        self.ring = AudioRing(limit=ring_seconds)
        self._metrics = metrics
        self._missing = Missing()
        self._seam = Seam()
        self._sent_until = MediaTime(float("-inf"))
        """What earlier sessions were sent ends here."""
        self._told: str | None = None
        """Utterance of which something was told, and no final."""

    def push(
        self, chunk: AudioChunk, *, sent_until: MediaTime | None
    ) -> Sequence[Lost]:
        """
        Take audio; return what fell out of the ring for it.

        Args:
            chunk: The audio.
            sent_until: What the session that speaks was sent ends here.

        """
        lost = self.ring.push(chunk)
        for each in lost:
            # What was sent may still be answered.
            sent = sent_until is not None and each.end <= sent_until
            self._discard(self._missing.fell_out(each, sent=sent))
        return lost

    def give_up(self, start: MediaTime, seconds: float) -> list[Gap]:
        """Forget all audio, of which some was not heard; return what is missing."""
        self._discard(self._missing.next_session(self.ring.end, ()))
        if seconds > 0:
            start = MediaTime(max(self.ring.start, start))
            rest = Lost(start, self.ring.end, seconds)
            self._discard(self._missing.give_up([rest]))
        self.ring.clear()
        return self._missing.take()

    def begins(self, heard_from: MediaTime, skipped: Sequence[Lost]) -> list[Gap]:
        """
        Note that a session speaks.

        Args:
            heard_from: Media time at which it began to hear.
            skipped: What it wasn't sent since.

        Returns:
            What no session hears.

        """
        self._seam.begin(heard_from)
        replayed = min(self._sent_until - heard_from, self.ring.depth)
        self._metrics.audio_replayed_seconds.inc(max(replayed, 0.0))
        self._discard(self._missing.next_session(heard_from, skipped))
        return self._missing.take()

    def ends(self, sent_until: MediaTime) -> None:
        """Note that the session speaks no more; it was sent all up to there."""
        self._told = None
        self._sent_until = MediaTime(max(self._sent_until, sent_until))

    def settle(self, time: MediaTime) -> list[Gap]:
        """
        Forget audio before ``time``: no session will need it again.

        Returns:
            What no session has heard, as somebody hears again.

        """
        self.ring.settle(time)
        self._missing.settled(time)
        return self._missing.take()

    def trim(self, event: Hypothesis) -> Hypothesis | None:
        """Return what is new in a hypothesis, and remember it if it is final."""
        trimmed = self._seam.trim(event)
        if event.final:
            self._metrics.words_removed.labels("repeated").inc(trimmed.removed)
            if event.start < self._sent_until:
                self._metrics.words_replayed.inc(len(event.text.split()))
            if trimmed.hypothesis is not None:
                self._seam.said(trimmed.hypothesis)
        told, self._told = self._told, None if event.final else event.utterance
        if trimmed.hypothesis is None and event.final and told == event.utterance:
            # What was shown of it was a guess at words that had been said.
            return dataclasses.replace(event, text="", words=())
        if trimmed.hypothesis is None:
            self._told = told
        return trimmed.hypothesis

    def _discard(self, seconds: float) -> None:
        self._metrics.audio_discarded_seconds.labels("engine_unavailable").inc(seconds)
