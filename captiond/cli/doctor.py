"""``captiond doctor``: is everything there that captiond needs?"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.metadata
import importlib.util
import json
import operator
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from captiond import config, engines
from captiond.cli import speech, terminal
from captiond.errors import CaptiondError, ConfigError
from captiond.live.engine import Engine
from captiond.metrics import Metrics

_MODEL_FILES = ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")
_ENGINE_TIMEOUT = 60.0
LOCAL_ENGINE = "moonshine"
_OLDEST_PYTHON = (3, 11)

_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(?:\[[^]]*\])?(?P<bounds>[^;]*)(?P<marker>;.*)?"
)
_BOUND = re.compile(r"(?P<relation>>=|<=|==|!=|<|>)\s*(?P<version>[\w.]+)")
_RELATIONS: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}

_SECONDS = 4
"""How much of the packaged speech is captioned."""

# Runs in a process of its own: a model that crashes must not take the doctor along.
_CAPTION_SPEECH = """
import itertools, json, pathlib, sys, time
from captiond.cli.audio_file import BLOCK_MS, blocks
from captiond.engines.moonshine.direct import transcribe
from captiond.engines.moonshine.library import Model
from captiond.live.session import Hypothesis

path, seconds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
pcm = b"".join(itertools.islice(blocks(path, rate=16_000), seconds * 1000 // BLOCK_MS))
began = time.monotonic()
model = Model()
loaded = time.monotonic()
events = list(transcribe(pcm, model=model))
print(json.dumps({
    "load": loaded - began,
    "caption": time.monotonic() - loaded,
    "text": " ".join(e.text for e in events if isinstance(e, Hypothesis) and e.final),
}))
"""


class Unwell(CaptiondError):
    """Something that captiond needs is not there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """
    What one check found.

    ``advice`` says what to do; None means that all is well.
    """

    subject: str
    found: str
    advice: str | None = None


def doctor(
    file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="TOML file. Default: captiond.toml in this directory, if it exists.",
        ),
    ] = None,
) -> None:
    """
    Check what captiond needs, line by line: ok, or what to do.

    Looks at Python, the packages, the model's files, the configuration and its ports,
    the keys of remote engines, UDP on this machine, how long the model takes to load,
    and whether it captions a few seconds of speech. Nothing is changed and nothing
    leaves this machine.

    Exits with 0 only if every line is ok.

    \b
    Example:
      captiond doctor --config /etc/captiond.toml
    """
    bad = 0
    for finding in _examine(file):
        bad += finding.advice is not None
        if finding.advice is None:
            terminal.out.print(f"ok    {finding.subject}: {finding.found}")
        else:
            terminal.out.print(f"FAIL  {finding.subject}: {finding.found}")
            terminal.out.print(f"      {finding.advice}")
    if bad:
        raise Unwell(f"{bad} of the checks failed")


def _examine(file: Path | None) -> Iterator[Finding]:
    yield check_python()
    yield from check_packages()
    yield check_model()
    try:
        loaded = config.load(file=file, schema=engines.schema())
    except ConfigError as exc:
        yield Finding("configuration", "wrong", str(exc))
        return
    yield Finding("configuration", str(file or "defaults and environment"))
    for section in ("http", "websocket", "admin"):
        listener = getattr(loaded, section)
        yield check_port(section, listener.host, listener.port)
    yield from check_remote_engines(loaded)
    yield asyncio.run(check_udp())
    yield check_engine()


def check_python() -> Finding:
    """Check the interpreter's version."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _OLDEST_PYTHON:
        return Finding("Python", version, "install Python 3.11 or newer")
    return Finding("Python", version)


def check_packages(
    version_of: Callable[[str], str] = importlib.metadata.version,
) -> Iterator[Finding]:
    """Check that every package that captiond requires is there, and new enough."""
    try:
        required = importlib.metadata.requires("captiond") or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding(
            "captiond", "not installed", "pip install . in the project's folder"
        )
        return
    for requirement in required:
        match = _REQUIREMENT.match(requirement)
        if match is None or match["marker"]:
            continue
        try:
            version = version_of(match["name"])
        except importlib.metadata.PackageNotFoundError:
            version = "missing"
        fits = version != "missing" and _fits(version, match["bounds"])
        advice = f"pip install '{match['name']}{match['bounds'].strip()}'"
        yield Finding(match["name"], version, None if fits else advice)


def _fits(version: str, bounds: str) -> bool:
    return all(
        _RELATIONS[bound["relation"]](_numbers(version), _numbers(bound["version"]))
        for bound in _BOUND.finditer(bounds)
    )


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(number) for number in re.findall(r"\d+", version)][:4]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def check_model() -> Finding:
    """Check that the model's files are inside the package."""
    spec = importlib.util.find_spec("moonshine_voice")
    advice = "pip install --force-reinstall moonshine-voice==0.0.59"
    if spec is None or not spec.submodule_search_locations:
        return Finding("model", "the package moonshine-voice is missing", advice)
    folder = Path(spec.submodule_search_locations[0]) / "assets" / "tiny-en"
    missing = [name for name in _MODEL_FILES if not (folder / name).is_file()]
    if missing:
        return Finding("model", f"{folder} misses {', '.join(missing)}", advice)
    size = sum((folder / name).stat().st_size for name in _MODEL_FILES)
    return Finding("model", f"tiny-en, {size / 1e6:.0f} MB in {folder}")


def check_port(section: str, host: str, port: int) -> Finding:
    """Check that a TCP port can be listened on."""
    subject = f"{section} on {host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as listener:
            # As the daemon does: a port that closed a moment ago is free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as exc:
        return Finding(
            subject,
            str(exc.strerror),
            f"stop what listens there, or set {section}.port or {section}.host",
        )
    return Finding(subject, "free")


def check_remote_engines(loaded: config.Config) -> Iterator[Finding]:
    """Check that the remote engines that are chosen have what they need: keys."""
    try:
        chosen = engines.create(loaded, Metrics())
    except ConfigError as exc:
        yield Finding("engine", "can't be had", str(exc))
        return
    for name, engine in chosen.items():
        if name == LOCAL_ENGINE:
            continue  # looked at by itself
        try:
            asyncio.run(_start_and_stop(engine))
        except CaptiondError as exc:
            yield Finding(f"engine {name}", "can't start", str(exc))
        else:
            yield Finding(f"engine {name}", f"{engine.name}; nothing was sent to it")


async def _start_and_stop(engine: Engine) -> None:
    await engine.start()
    await engine.stop()


async def check_udp(host: str = "127.0.0.1") -> Finding:
    """Check that a datagram sent on this machine arrives."""
    loop = asyncio.get_running_loop()
    subject = f"UDP on {host}"
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            receiver.setblocking(False)
            receiver.bind((host, 0))
            began = time.monotonic()
            sender.sendto(b"captiond", receiver.getsockname())
            await asyncio.wait_for(loop.sock_recv(receiver, 64), 2)
            took = time.monotonic() - began
    except (OSError, TimeoutError) as exc:
        return Finding(
            subject,
            f"no echo: {exc!r}",
            "let UDP through on this machine; WebRTC media needs it",
        )
    return Finding(subject, f"{took * 1000:.1f} ms")


def check_engine() -> Finding:
    """Check that the model loads and captions, and how fast."""
    advice = "pip install --force-reinstall moonshine-voice==0.0.59"
    try:
        path = speech.packaged().path
        process = subprocess.run(
            [sys.executable, "-c", _CAPTION_SPEECH, str(path), str(_SECONDS)],
            capture_output=True,
            text=True,
            timeout=_ENGINE_TIMEOUT,
            check=True,
        )
        result = json.loads(process.stdout.splitlines()[-1])
    except speech.SpeechError as exc:
        return Finding("speech", str(exc), advice)
    except subprocess.CalledProcessError as exc:
        last = (exc.stderr or "").strip().rpartition("\n")[2]
        return Finding("speech", f"exit code {exc.returncode}: {last}", advice)
    except (subprocess.TimeoutExpired, ValueError, IndexError) as exc:
        return Finding("speech", repr(exc), advice)
    figures = (
        f"model loaded in {result['load']:.2f} s, {_SECONDS} s captioned in "
        f"{result['caption']:.2f} s: {result['text']!r}"
    )
    if "times" not in result["text"].lower():
        return Finding("speech", figures, f"'best of times' was expected; {advice}")
    return Finding("speech", figures)
