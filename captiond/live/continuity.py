"""
What goes from one session to the next: the audio not settled, and the words said.

No I/O. Each second of audio is heard by somebody or told to be missing, and each word
is said once, however many sessions heard it.
"""

from __future__ import annotations

from captiond.events import Gap, MediaTime
from captiond.live.missing import Missing
from captiond.live.ring import AudioRing
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

    def push(self, chunk: AudioChunk, *, sent_until: MediaTime | None) -> int:
        """
        Take audio; return how many chunks fell out of the ring for it.

        Args:
            chunk: The audio.
            sent_until: What the session that speaks was sent ends here.

        """
        lost = self.ring.push(chunk)
        for each in lost:
            # What was sent may still be answered.
            sent = sent_until is not None and each.end <= sent_until
            self._discard(self._missing.fell_out(each, sent=sent))
        return len(lost)

    def give_up(self, start: MediaTime, seconds: float) -> Gap | None:
        """Forget all audio, of which some was not heard; return what is missing."""
        if seconds > 0:
            start = MediaTime(max(self.ring.start, start))
            self._discard(self._missing.give_up(start, self.ring.end, seconds))
        self.ring.clear()
        return self._missing.take()

    def begins(self, heard_from: MediaTime) -> Gap | None:
        """
        Note that a session speaks that heard all from there on.

        Returns:
            What no session heard, if anything.

        """
        self._seam.begin(heard_from)
        replayed = min(self._sent_until - heard_from, self.ring.depth)
        self._metrics.audio_replayed_seconds.inc(max(replayed, 0.0))
        self._discard(self._missing.next_session(heard_from))
        return self._missing.take()

    def ends(self, sent_until: MediaTime) -> None:
        """Note that the session speaks no more; it was sent all up to there."""
        self._sent_until = MediaTime(max(self._sent_until, sent_until))

    def settle(self, time: MediaTime) -> None:
        """Forget audio before ``time``: no session will need it again."""
        self.ring.settle(time)
        self._missing.settled(time)

    def trim(self, event: Hypothesis) -> Hypothesis | None:
        """Return what is new in a hypothesis, and remember it if it is final."""
        trimmed = self._seam.trim(event)
        if event.final:
            self._metrics.words_removed.labels("repeated").inc(trimmed.removed)
            if event.start < self._sent_until:
                self._metrics.words_replayed.inc(len(event.text.split()))
            if trimmed.hypothesis is not None:
                self._seam.said(trimmed.hypothesis)
        return trimmed.hypothesis

    def _discard(self, seconds: float) -> None:
        self._metrics.audio_discarded_seconds.labels("engine_unavailable").inc(seconds)
