"""Other voices than the packaged one, where their recordings lie beside the project."""

from __future__ import annotations

import asyncio

import pytest

from captiond.cli import score, trial
from tests.bench import corpus
from tests.daemon_process import SPEECH_FOLDER, DaemonProcess

pytestmark = pytest.mark.e2e

VOICES = ("harvard", "ls1272_quilter", "ps_0870")
MAX_WER = 25.0
"""Percent over all; from the files it is 0."""


@pytest.mark.skipif(
    not (SPEECH_FOLDER / "speech.tsv").exists(),
    reason="the recordings of other voices don't lie beside the project",
)
async def test_other_voices_are_captioned() -> None:
    """Three readers, three streams at once."""
    items = corpus.load(VOICES)
    async with DaemonProcess() as daemon:
        trials = await asyncio.gather(
            *(trial.run(each.speech, daemon.addresses, each.name) for each in items)
        )
    errors = [
        score.word_errors(item.text, done.transcript)
        for item, done in zip(items, trials, strict=True)
    ]

    assert sum(errors[1:], errors[0]).percent <= MAX_WER
