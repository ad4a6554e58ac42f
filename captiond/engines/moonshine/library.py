"""
The seam to the moonshine-voice library: its model, and its streams as a source.

Everything that knows the library is here and in :mod:`.runtime`; another decoder takes
the place of the library by giving the same :class:`Source`. Only workers import this.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Protocol

import numpy
from moonshine_voice import ModelArch, get_model_path
from moonshine_voice.transcriber import Stream, Transcriber

from captiond.engines.moonshine.runtime import runtime
from captiond.media.chunk import SAMPLE_RATE

MODEL = "tiny-en"

_TWICE = re.compile(r"([,;:!?])(?: ?\1)+|(?<!\.)(\.) ?\.(?! ?\.)")
"""Marks of one kind in a row, but no ellipsis."""

_NEVER = 1e9
_OPTIONS = {
    # Without it every update copies the audio of every line into Python lists.
    "return_audio_data": "false",
    "identify_speakers": "false",
    # The library has two clocks of its own that decide when to transcribe. Both are
    # stopped: whoever holds the source decides.
    "transcription_interval": str(_NEVER),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One stretch of speech as the source hears it; times count from its start."""

    id: int
    """Constant while the line grows; any number."""

    start: float
    end: float
    text: str
    complete: bool
    """The line won't change any more."""


def clean(text: str) -> str:
    """Return the model's text without the punctuation that it says twice."""
    return _TWICE.sub(r"\1\2", text.strip())


class Source(Protocol):
    """Turns audio into lines. It keeps all its lines until it is closed."""

    def feed(self, pcm: bytes) -> None:
        """Take audio in; nothing is computed yet."""

    def update(self) -> Sequence[Line]:
        """Transcribe what is new and return all lines, the open one last."""

    def close(self) -> None:
        """Forget everything."""


class Model:
    """The loaded model; opens sources that share it."""

    def __init__(self) -> None:
        runtime()
        self._transcriber = Transcriber(
            str(get_model_path(MODEL)), ModelArch.TINY, options=_OPTIONS
        )

    def open(self) -> Source:
        """Open a source with an empty past."""
        return _LibraryStream(self._transcriber.create_stream(update_interval=_NEVER))

    def close(self) -> None:
        """Free the model; its sources must be closed before."""
        self._transcriber.close()  # type: ignore[no-untyped-call]


class _LibraryStream:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        stream.start()  # type: ignore[no-untyped-call]

    def feed(self, pcm: bytes) -> None:
        samples = numpy.frombuffer(pcm, "<i2").astype(numpy.float32) / 32768
        self._stream.add_audio(samples.tolist(), SAMPLE_RATE)

    def update(self) -> list[Line]:
        flags = Transcriber.MOONSHINE_FLAG_FORCE_UPDATE
        transcript = self._stream.update_transcription(flags)
        runtime().release()
        return [
            Line(
                id=line.line_id,
                start=line.start_time,
                end=line.start_time + line.duration,
                text=clean(line.text),
                complete=line.is_complete,
            )
            for line in transcript.lines
        ]

    def close(self) -> None:
        self._stream.close()  # type: ignore[no-untyped-call]
