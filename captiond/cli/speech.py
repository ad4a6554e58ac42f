"""The speech that ships with the model, its known text, and texts beside files."""

from __future__ import annotations

import dataclasses
import importlib.resources
import importlib.util
import json
from pathlib import Path

from captiond.cli.measure import SpokenWord, spoken_words
from captiond.errors import CaptiondError


class SpeechError(CaptiondError):
    """The packaged speech is not there."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """A file, and what is known about it."""

    path: Path
    text: str | None = None
    words: tuple[SpokenWord, ...] = ()


def packaged() -> Speech:
    """
    Return the reading of A Tale of Two Cities, with its text and word times.

    Raises:
        SpeechError: If the package with the model is not installed.

    """
    # Finding it must not load the model's library into this process.
    spec = importlib.util.find_spec("moonshine_voice")
    if spec is None or not spec.submodule_search_locations:
        raise SpeechError("the package moonshine-voice is not installed")
    path = Path(spec.submodule_search_locations[0]) / "assets" / "two_cities.wav"
    if not path.exists():
        raise SpeechError(f"{path}: missing; install moonshine-voice==0.0.59 again")
    data = importlib.resources.files("captiond.cli") / "data" / "two_cities.json"
    known = json.loads(data.read_text(encoding="utf-8"))
    return Speech(
        path=path, text=known["text"], words=tuple(spoken_words(known["words"]))
    )


def from_file(path: Path) -> Speech:
    """Return a file with the text that lies beside it as ``NAME.txt``, if any."""
    beside = path.with_suffix(".txt")
    text = beside.read_text(encoding="utf-8") if beside.is_file() else None
    return Speech(path=path, text=text)
