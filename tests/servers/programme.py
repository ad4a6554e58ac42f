"""
A programme: speech whose words and word times are known.

It is what the test servers can recognise (see :mod:`tests.servers.recogniser`) and what
a test publishes. Make one, write it to files, load it in another process::

    programme = Programme.packaged()                       # 44 s, always there
    programme = Programme.joined(["jfk", "harvard"], silence=1.0)   # shared speech
    programme.save(folder / "p.wav", folder / "p.json")
    programme = Programme.load(folder / "p.wav", folder / "p.json")

``programme.between(start, end)`` is PCM as bytes, ``words_between(start, end)`` are the
words that lie wholly inside. No programme should hold the same recording twice: nobody
could tell where in it the audio is.
"""

from __future__ import annotations

import dataclasses
import json
import wave
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from captiond.cli import audio_file
from captiond.cli.measure import SpokenWord, spoken_words
from captiond.cli.speech import packaged
from tests.daemon_process import SPEECH_FOLDER
from tests.servers.pauses import keep_out
from tests.servers.words import Word

__all__ = ["RATE", "Programme", "Word"]

RATE = 16_000

SHORTEST_WORD, USUAL_WORD = 0.06, 0.35
"""Seconds."""

Samples = npt.NDArray[np.int16]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Programme:
    """Mono PCM at 16 kHz, and its words in order."""

    samples: Samples
    words: tuple[Word, ...]

    @classmethod
    def packaged(cls) -> Programme:
        """Return the reading of A Tale of Two Cities that ships with the model."""
        speech = packaged()
        samples = _decode(speech.path)
        words = keep_out(samples, _timed(speech.words), rate=RATE)
        return cls(samples=samples, words=words)

    @classmethod
    def joined(cls, names: Sequence[str], *, silence: float = 1.0) -> Programme:
        """
        Join files of the shared speech, with silence between them and at the end.

        Raises:
            ValueError: If a file has no times, or none for its last word.

        """
        times = json.loads(
            (SPEECH_FOLDER / "word_times.json").read_text(encoding="utf-8")
        )
        pause = np.zeros(round(silence * RATE), dtype=np.int16)
        samples: list[Samples] = []
        words: list[Word] = []
        at = 0
        for name in names:
            if name not in times:
                raise ValueError(f"{name}: no word times")
            for word in _timed(spoken_words(times[name])):
                words.append(_moved(word, at / RATE))
            samples += [_decode(SPEECH_FOLDER / f"{name}.wav"), pause]
            at += len(samples[-2]) + len(pause)
        joined = np.concatenate(samples)
        return cls(samples=joined, words=keep_out(joined, words, rate=RATE))

    @classmethod
    def load(cls, wav: Path, words: Path) -> Programme:
        """Read what :meth:`save` wrote."""
        with wave.open(str(wav)) as file:
            if file.getparams()[:3] != (1, 2, RATE):
                raise ValueError(f"{wav}: not mono 16 bit PCM at {RATE} Hz")
            pcm = file.readframes(file.getnframes())
        known = json.loads(words.read_text(encoding="utf-8"))
        return cls(
            samples=np.frombuffer(pcm, dtype=np.int16),
            words=tuple(Word(text=t, start=s, end=e) for t, s, e in known),
        )

    def save(self, wav: Path, words: Path) -> None:
        """Write the audio and the words to files."""
        with wave.open(str(wav), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(self.samples.tobytes())
        known = [(word.text, word.start, word.end) for word in self.words]
        words.write_text(json.dumps(known), encoding="utf-8")

    @property
    def seconds(self) -> float:
        """Return the length."""
        return len(self.samples) / RATE

    @property
    def text(self) -> str:
        """Return all words, with spaces between."""
        return " ".join(word.text for word in self.words)

    @property
    def pcm(self) -> bytes:
        """Return all the audio."""
        return self.samples.tobytes()

    def between(self, start: float, end: float) -> bytes:
        """Return a piece of the audio."""
        return self.samples[round(start * RATE) : round(end * RATE)].tobytes()

    def words_between(self, start: float, end: float) -> list[Word]:
        """Return the words that lie wholly in a piece."""
        return [w for w in self.words if start <= w.start and w.end <= end]


def _decode(path: Path) -> Samples:
    pcm = b"".join(audio_file.blocks(path, rate=RATE))
    return np.frombuffer(pcm, dtype=np.int16)


def _timed(words: Iterable[SpokenWord]) -> tuple[Word, ...]:
    """Return the words; those without times share the room between their neighbours."""
    timed: list[Word] = []
    untimed: list[str] = []
    for word in words:
        if word.start is None or word.end is None:
            untimed.append(word.text)
            continue
        begin = max(word.start - len(untimed) * USUAL_WORD, 0.0)
        timed += _spread(untimed, timed[-1].end if timed else begin, word.start)
        untimed.clear()
        timed.append(Word(text=word.text, start=word.start, end=word.end))
    if untimed:
        raise ValueError(f"{untimed[0]!r}: a last word without times")
    return tuple(timed)


def _spread(texts: Sequence[str], begin: float, end: float) -> list[Word]:
    step = max((end - begin) / max(len(texts), 1), SHORTEST_WORD)
    return [
        Word(text=text, start=begin + index * step, end=begin + (index + 1) * step)
        for index, text in enumerate(texts)
    ]


def _moved(word: Word, seconds: float) -> Word:
    return Word(text=word.text, start=word.start + seconds, end=word.end + seconds)
