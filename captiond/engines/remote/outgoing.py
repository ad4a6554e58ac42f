"""
What to send of the audio that comes in, in order: messages, and where utterances end.

No I/O. The detector runs here because the service must have the audio of an utterance
before it is asked for its end.
"""

from __future__ import annotations

import dataclasses

from captiond.engines.remote.activity import JUMP, ActivityDetector
from captiond.events import MediaTime
from captiond.live.session import SpeechEnded, SpeechStarted
from captiond.media.chunk import BYTES_PER_SAMPLE, SAMPLE_RATE, AudioChunk

SLACK = 0.001
"""A chunk further than this from the end of the one before begins a new message."""


@dataclasses.dataclass(frozen=True, slots=True)
class AudioMessage:
    """Audio to send in one message; never spans a jump of the media clock."""

    start: MediaTime
    pcm: bytes

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.pcm) / (SAMPLE_RATE * BYTES_PER_SAMPLE)


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """The service should be asked to end the utterance here."""


Step = AudioMessage | SpeechStarted | SpeechEnded | Endpoint


class Outgoing:
    """
    Cuts a stream's chunks into messages, and says where utterances end.

    An engine sends each :class:`AudioMessage`, asks its service for the end of the
    utterance at each :class:`Endpoint`, and tells all steps to its
    :class:`captiond.engines.remote.transcript.Transcript` in the order given.

    Args:
        message_ms: Length of a message of audio.
        detector: Finds speech.

    """

    def __init__(
        self, *, message_ms: int = 100, detector: ActivityDetector | None = None
    ) -> None:
        self._size = SAMPLE_RATE * message_ms // 1000 * BYTES_PER_SAMPLE
        self._detector = detector or ActivityDetector()
        self._pending = bytearray()
        self._start = MediaTime(0.0)
        """Media time of the first pending sample."""
        self._end: MediaTime | None = None

    @property
    def speaking(self) -> bool:
        """Whether speech has started and not ended."""
        return self._detector.speaking

    def push(self, chunk: AudioChunk) -> list[Step]:
        """Take a chunk; return what it makes due."""
        steps: list[Step] = []
        distance = 0.0 if self._end is None else abs(chunk.start - self._end)
        if distance > SLACK:
            steps += self.flush()
        if distance > JUMP:
            steps += self._detector.end()
            steps.append(Endpoint())
        if not self._pending:
            self._start = chunk.start
        self._pending += chunk.pcm
        self._end = chunk.end
        found = self._detector.push(chunk.start, chunk.pcm)
        steps += self._cut(rest=any(isinstance(event, SpeechEnded) for event in found))
        for event in found:
            steps.append(event)
            if isinstance(event, SpeechEnded):
                steps.append(Endpoint())
        return steps

    def flush(self) -> list[Step]:
        """Return what is left of the audio; speech goes on."""
        return self._cut(rest=True)

    def _cut(self, *, rest: bool) -> list[Step]:
        steps: list[Step] = []
        while len(self._pending) >= self._size or (rest and self._pending):
            message = AudioMessage(self._start, bytes(self._pending[: self._size]))
            del self._pending[: self._size]
            self._start = MediaTime(self._start + message.seconds)
            steps.append(message)
        return steps
