"""The speech that the benchmarks use: the shared folder, else the packaged file."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Collection

from captiond.cli import audio_file
from captiond.cli.measure import spoken_words
from captiond.cli.speech import Speech, packaged
from tests.daemon_process import SPEECH_FOLDER


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file with its text; ``seconds`` is its length."""

    name: str
    noisy: bool
    seconds: float
    speech: Speech

    @property
    def text(self) -> str:
        """What is spoken."""
        assert self.speech.text is not None
        return self.speech.text


def load(
    names: Collection[str] = (), *, max_seconds: float | None = None
) -> list[Item]:
    """
    Return the files, longest first.

    Args:
        names: Only these; with or without ``.wav``.
        max_seconds: Only files that are not longer.

    """
    items = _shared() if (SPEECH_FOLDER / "speech.tsv").exists() else _packaged()
    wanted = {name.removesuffix(".wav") for name in names}
    unknown = wanted - {item.name for item in items}
    if unknown:
        raise SystemExit(f"no such file: {', '.join(sorted(unknown))}")
    return sorted(
        (
            item
            for item in items
            if (not wanted or item.name in wanted)
            and (max_seconds is None or item.seconds <= max_seconds)
        ),
        key=lambda item: -item.seconds,
    )


def _shared() -> list[Item]:
    times = json.loads((SPEECH_FOLDER / "word_times.json").read_text(encoding="utf-8"))
    with (SPEECH_FOLDER / "speech.tsv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    items = []
    for row in rows:
        name = row["file"].removesuffix(".wav")
        speech = Speech(
            path=SPEECH_FOLDER / row["file"],
            text=row["ref"],
            words=tuple(spoken_words(times.get(name, []))),
        )
        items.append(
            Item(
                name=name,
                noisy=row["kind"] == "noisy",
                seconds=float(row["duration_s"]),
                speech=speech,
            )
        )
    return items


def _packaged() -> list[Item]:
    speech = packaged()
    return [
        Item(
            name=speech.path.stem,
            noisy=False,
            seconds=audio_file.duration(speech.path) or 0.0,
            speech=speech,
        )
    ]
