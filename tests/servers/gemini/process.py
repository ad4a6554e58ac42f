"""
The server as a process, and the handle on it.

``python -m tests.servers.gemini --programme P.wav --words P.json --cert-dir DIR``
prints one JSON line when it listens (``url``, ``port``, ``pem``, ``api_key``) and takes
commands on stdin, see :mod:`tests.servers.gemini.control`; it ends with its stdin, if
that is a pipe, and on SIGTERM. Killed and started again with the same ``--port`` and
``--cert-dir`` it is the same server after an outage.

From a test or benchmark::

    options = ["--session-limit", "60"]
    process = GeminiProcess(wav, words, folder=folder, options=options)
    async with process:
        process.url, process.pem, process.api_key
        await process.command("go_away", left=5)
        await process.kill()                      # the outage
        await process.start()                     # again, on the same port
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers.gemini.control import Control
from tests.servers.gemini.faults import DEADLINE, Faults
from tests.servers.gemini.script import Script
from tests.servers.gemini.server import API_KEY, GeminiServer, Settings
from tests.servers.programme import Programme
from tests.servers.tls import Certificate

_PROJECT = Path(__file__).resolve().parents[3]
_START_SECONDS = 60.0
_LINE_BYTES = 1 << 24


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the server until it is told to stop."""
    options = _parser().parse_args(arguments)
    server = GeminiServer(
        Programme.load(options.programme, options.words),
        settings=Settings(
            api_key=options.api_key,
            script=Script(**options.script),
            session_limit=options.session_limit,
            go_away_before=options.go_away_before,
            limit_code=options.limit_code,
            limit_reason=options.limit_reason,
            receive_buffer_bytes=options.receive_buffer_bytes,
        ),
        faults=Faults(**options.faults),
        certificate=Certificate.in_folder(options.cert_dir),
        port=options.port,
    )
    asyncio.run(_serve(server))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.gemini")
    parser.add_argument("--programme", type=Path, required=True, help="WAV file")
    parser.add_argument("--words", type=Path, required=True, help="its words, JSON")
    parser.add_argument("--cert-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--api-key", default=API_KEY)
    parser.add_argument("--session-limit", type=float)
    parser.add_argument("--go-away-before", type=float, default=60.0)
    parser.add_argument("--limit-code", type=int, default=1011)
    parser.add_argument("--limit-reason", default=DEADLINE)
    parser.add_argument("--receive-buffer-bytes", type=int)
    parser.add_argument("--script", type=json.loads, default={}, help="JSON")
    parser.add_argument("--faults", type=json.loads, default={}, help="JSON")
    return parser


async def _serve(server: GeminiServer) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with server:
        _say(
            {
                "ready": True,
                "url": server.url,
                "port": server.port,
                "pem": str(server.certificate.pem),
                "api_key": server.settings.api_key,
            }
        )
        obeying = asyncio.create_task(_obey(Control(server), stop))
        await stop.wait()
        obeying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await obeying


async def _obey(control: Control, stop: asyncio.Event) -> None:
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while not control.stopped and (line := await reader.readline()):
            _say(await control.carry_out(line))
    finally:
        transport.close()
        stop.set()


def _say(reply: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()


class ServerProcessError(Exception):
    """The process didn't start, or refused a command."""


class GeminiProcess:
    """
    A server in a process of its own.

    Args:
        wav: The programme.
        words: Its words.
        folder: Where its certificate is, or will be.
        options: More of its command line.

    """

    def __init__(
        self, wav: Path, words: Path, *, folder: Path, options: Sequence[str] = ()
    ) -> None:
        self._arguments = ["--programme", str(wav), "--words", str(words)]
        self._arguments += ["--cert-dir", str(folder), *options]
        self._process: asyncio.subprocess.Process | None = None
        self._commands = asyncio.Lock()
        self._ready: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """Return what to give as ``base_url``."""
        return str(self._ready["url"])

    @property
    def pem(self) -> Path:
        """Return the certificate that clients must trust."""
        return Path(self._ready["pem"])

    @property
    def api_key(self) -> str:
        """Return the key that it takes."""
        return str(self._ready["api_key"])

    @property
    def pid(self) -> int:
        """Return the process's id."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """
        Start it; after a kill on the same port.

        Raises:
            ServerProcessError: If it ends, or takes too long.

        """
        port = ["--port", str(self._ready["port"])] if self._ready else []
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.servers.gemini"),
            *self._arguments,
            *port,
            cwd=_PROJECT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
        )
        try:
            async with asyncio.timeout(_START_SECONDS):
                self._ready = await self._reply()
        except TimeoutError:
            await self.kill()
            raise ServerProcessError("didn't start in time") from None

    async def command(self, name: str, **options: Any) -> dict[str, Any]:
        """
        Carry out a command and return the reply.

        Raises:
            ServerProcessError: If it was refused, or the process ended.

        """
        assert self._process is not None
        assert self._process.stdin is not None
        async with self._commands:
            line = json.dumps({"do": name, **options}) + "\n"
            self._process.stdin.write(line.encode())
            await self._process.stdin.drain()
            reply = await self._reply()
        if not reply["ok"]:
            raise ServerProcessError(reply["error"])
        return reply

    async def kill(self) -> None:
        """End it with no chance to say anything."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End it in an orderly way."""
        await self._end(signal.SIGTERM)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _reply(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise ServerProcessError(f"ended with {await self._process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        return reply

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        await process.wait()
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(ConnectionError):
            await process.stdin.wait_closed()
