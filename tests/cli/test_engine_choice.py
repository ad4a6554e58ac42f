"""What an operator reads who chooses an engine that can't be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from captiond import config, engines
from captiond.cli import doctor

RUN = """
import sys
from pathlib import Path
sys.modules.update(dict.fromkeys({missing!r}))
from captiond.cli import main
main(sys.argv[1:])
"""


def serve(
    *options: str, missing: tuple[str, ...] = (), **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run ``captiond serve`` where these modules can't be imported; it has to end."""
    kept = {key: value for key, value in os.environ.items() if "API_KEY" not in key}
    arguments = [each for option in options for each in ("--set", option)]
    return subprocess.run(
        [
            *(sys.executable, "-c", RUN.format(missing=missing), "serve"),
            *("--port", "0", "--ws-port", "0", "--admin-port", "0", *arguments),
        ],
        env=kept | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def error_of(process: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that the command says about what is wrong."""
    lines = [line for line in process.stderr.splitlines() if "captiond:" in line]

    assert process.returncode == 2, process.stderr
    assert len(lines) == 1
    return lines[0]


def test_without_the_extra_it_is_named() -> None:
    """The operator reads what to install."""
    process = serve("engine.name=gemini", missing=("google.genai",))

    assert "pip install 'captiond[gemini]'" in error_of(process)


@pytest.mark.parametrize(
    ("engine", "variable"),
    [("gemini", "GEMINI_API_KEY"), ("openai_realtime", "OPENAI_API_KEY")],
)
def test_without_a_key_the_variable_is_named(engine: str, variable: str) -> None:
    """The operator reads which variable to set, and which option there is."""
    error = error_of(serve(f"engine.name={engine}"))

    assert variable in error
    assert f"engines.{engine}.api_key_file" in error


def test_a_key_file_that_is_not_there_is_named() -> None:
    """The operator reads which file can't be read."""
    error = error_of(
        serve("engine.name=gemini", "engines.gemini.api_key_file=/nowhere/key")
    )

    assert "/nowhere/key" in error


def test_unknown_engines_and_options_are_named_with_those_there_are() -> None:
    """The operator reads what is allowed."""
    assert "installed are gemini, moonshine, openai_realtime" in error_of(
        serve("engine.name=whisper")
    )
    assert "engine.fallback: no engine is called 'whisper'" in error_of(
        serve("engine.fallback=whisper")
    )
    assert "no such option; allowed are model" in error_of(
        serve("engines.gemini.modle=x")
    )
    assert "must be another engine" in error_of(serve("engine.fallback=moonshine"))


def test_doctor_looks_for_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is missing is advice; one that is there is used for nothing."""
    file = tmp_path / "captiond.toml"
    file.write_text('[engine]\nname = "gemini"\n')
    loaded = config.load(file=file, environ={}, schema=engines.schema())
    for variable in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    (missing,) = doctor.check_remote_engines(loaded)
    monkeypatch.setenv("GEMINI_API_KEY", "key")
    (there,) = doctor.check_remote_engines(loaded)

    assert "GEMINI_API_KEY" in (missing.advice or "")
    assert there.advice is None
