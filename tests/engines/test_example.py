"""An engine of somebody else's: a package of its own, found by its entry point."""

from __future__ import annotations

import importlib
import subprocess
import sys
import wave
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from captiond import config, engines
from captiond.cli import trial
from captiond.cli.speech import Speech
from captiond.errors import ConfigError
from captiond.live.engine import Engine
from captiond.metrics import Metrics
from tests.daemon_process import DaemonProcess
from tests.engines.conformance import EngineConformance
from tests.engines.moonshine.speech import pcm

PACKAGE = Path(__file__).parent / "example"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the package where Python finds it, as pip does it."""
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--disable-pip-version-check", "--no-build-isolation"),
            *("--target", str(target), str(PACKAGE)),
        ],
        check=True,
    )
    sys.path.insert(0, str(target))
    importlib.invalidate_caches()
    engines.forget()
    yield target
    sys.path.remove(str(target))
    engines.forget()


@pytest.fixture
async def engine(folder: Path) -> AsyncIterator[Engine]:
    """The engine as the daemon creates it."""
    loaded = config.load(
        environ={}, flags={"engine": {"name": "example"}}, schema=engines.schema()
    )
    engine = engines.create(loaded, Metrics(), environ={})["example"]
    await engine.start()
    yield engine
    await engine.stop()


class TestExample(EngineConformance):
    """The example keeps the contract."""

    max_wer = None


def test_its_options_are_options(folder: Path) -> None:
    """They come from every source, and mistakes are named like others."""
    loaded = config.load(
        environ={"CAPTIOND_ENGINES__EXAMPLE__PAUSE": "1.5"}, schema=engines.schema()
    )

    assert loaded.model_dump()["engines"]["example"]["pause"] == 1.5
    with pytest.raises(
        ConfigError,
        match=r"engines\.example\.paus: no such option; allowed are threshold, pause",
    ):
        config.load(
            environ={},
            flags={"engines": {"example": {"paus": 1}}},
            schema=engines.schema(),
        )


@pytest.mark.e2e
async def test_the_daemon_captions_with_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of captiond has to be changed for it."""
    monkeypatch.setenv("PYTHONPATH", str(folder))
    wav = tmp_path / "speech.wav"
    with wave.open(str(wav), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(pcm()[: 6 * 32_000])
    async with DaemonProcess(["--set", "engine.name=example"]) as daemon:
        result = await trial.run(Speech(path=wav), daemon.addresses, "news")

    assert result.transcript.startswith("sound of ")
    assert any(not caption.final for caption in result.captions)
