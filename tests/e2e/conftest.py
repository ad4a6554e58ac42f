"""Speech for the end-to-end tests: the start of the file that the package ships."""

from __future__ import annotations

import dataclasses
import wave
from pathlib import Path

import pytest

from captiond.cli import audio_file, score, speech

CLIP_SECONDS = 17.2
CLIP_TEXT = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, "
    "it was the age of foolishness, it was the epoch of belief, it was the epoch of "
    "incredulity, it was the season of light, it was the season of darkness"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """A piece of speech and what is said in it."""

    path: Path
    seconds: float
    text: str

    def word_error_rate(self, said: str) -> float:
        """Return errors per hundred words."""
        return score.word_errors(self.text, said).percent


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Return the first eight clauses of the packaged speech."""
    path = tmp_path_factory.mktemp("speech") / "clip.wav"
    left = round(CLIP_SECONDS * 16_000) * 2
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        for block in audio_file.blocks(speech.packaged().path, rate=16_000):
            file.writeframes(block[:left])
            left -= len(block[:left])
    return Clip(path, CLIP_SECONDS, CLIP_TEXT)
