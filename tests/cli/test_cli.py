"""The command line: help, and errors in one line with the right exit code."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from captiond import cli
from captiond.cli import doctor, serve
from captiond.errors import ConfigError


def run(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Run the command line; return exit code, output and errors."""
    with pytest.raises(SystemExit) as exit_info:
        cli.main(arguments)
    output = capsys.readouterr()
    assert isinstance(exit_info.value.code, int)
    return exit_info.value.code, output.out, output.err


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        ([], ["captiond demo", "Exit codes"]),
        (["--help"], ["captiond demo", "doctor"]),
        (["serve", "--help"], ["Examples:", "--ws-port", "8081"]),
        (["demo", "--help"], ["Examples:", "error rate"]),
        (["publish", "--help"], ["Examples:", "--token-file", "--loop"]),
        (["watch", "-h"], ["Examples:", "--replay", "ws://127.0.0.1:8081"]),
        (["doctor", "--help"], ["Example:", "ok, or what to do"]),
    ],
)
def test_help(
    arguments: list[str], texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command has a page with examples and defaults."""
    code, output, _ = run(arguments, capsys)

    assert code == 0
    for text in texts:
        assert text in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sevre"], "sevre"),
        (["serve", "--prot", "1"], "--prot"),
        (["serve", "--port", "http"], "--port"),
        (["serve", "--port", "99999"], "http.port"),
        (["serve", "--log-level", "loud"], "log.level"),
        (["serve", "--set", "http.prot=1"], "http.prot: no such option"),
        (["serve", "--set", "http"], "write KEY=VALUE"),
        (["serve", "--set", "http=1", "--set", "http.port=1"], "http is not a section"),
        (["serve", "--host", "0.0.0.0"], "--insecure"),
        (["serve", "--config", "missing.toml"], "missing.toml: can't be read"),
        (["publish", "missing.wav", "--url", "http://h/whip/x"], "no such file"),
        (["publish", __file__], "--url"),
        (["publish", __file__, "--url", "h/whip/x"], "write http://HOST:PORT"),
        (
            ["publish", __file__, "--url", "http://h/whip/x", "--token-file", "no"],
            "no: can't be read",
        ),
        (["watch"], "STREAM"),
        (["watch", "news", "--url", "http://h"], "write ws://HOST:PORT"),
        (["watch", "x", "--since", "e:1", "--replay", "1"], "say one of them"),
        (["demo", "missing.wav"], "missing.wav: no such file"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A wrong command line or configuration is one line and exit code 2."""
    monkeypatch.chdir(tmp_path)
    code, output, errors = run(arguments, capsys)

    assert code == 2
    assert output == ""
    assert errors.startswith("captiond: ")
    assert message in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["publish", __file__, "--url", "http://127.0.0.1:9/whip/x"],
            "test_cli.py: can't be opened",
        ),
        (["watch", "x", "--url", "ws://127.0.0.1:9"], "can't connect"),
        (["watch", "x", "--url", "ws://127.0.0.1:9", "--json"], "can't connect"),
    ],
)
def test_failures(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What fails on the way is one line and exit code 1."""
    code, _, errors = run(arguments, capsys)

    assert code == 1
    assert message in errors
    assert len(errors.splitlines()) == 1


def test_set_reaches_every_depth() -> None:
    """--set writes into sections and at the top."""
    flags: dict[str, object] = {}
    serve._set(flags, "engines.moonshine.workers=2")
    serve._set(flags, "engine.name=a=b")
    serve._set(flags, "insecure=true")

    assert flags == {
        "engines": {"moonshine": {"workers": "2"}},
        "engine": {"name": "a=b"},
        "insecure": "true",
    }
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        serve._set(flags, "=1")


def test_doctor_names_old_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each requirement is checked against what is installed; extras are not."""
    required = ["av<20,>=18", "rich>=14", "x==0.0.59", "pytest>=8 ; extra == 'dev'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: required)
    versions = {"av": "20.0.0", "rich": "15.1", "x": "0.0.59"}
    findings = list(doctor.check_packages(versions.__getitem__))

    assert [finding.subject for finding in findings] == ["av", "rich", "x"]
    assert [finding.advice for finding in findings] == [
        "pip install 'av<20,>=18'",
        None,
        None,
    ]


def test_doctor_names_a_port_that_is_taken() -> None:
    """A port with a listener is not free."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        finding = doctor.check_port("http", "127.0.0.1", port)

    assert finding.advice is not None
    assert "http.port" in finding.advice


async def test_doctor_checks_udp() -> None:
    """A datagram comes back on loopback."""
    assert (await doctor.check_udp()).advice is None


def test_doctor_finds_the_model() -> None:
    """The model lies in the package."""
    assert doctor.check_model().advice is None


def test_broken_pipe_ends_quietly() -> None:
    """When whoever read the output has left, there is no traceback."""
    command = [sys.executable, "-m", "captiond"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()

    assert errors == b""
