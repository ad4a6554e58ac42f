"""
A daemon as a child process on free ports, for the demo, the benchmarks and the tests.

Its log goes to a temporary file: a pipe that nobody empties would stop the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from captiond.errors import CaptiondError

READY_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0


class ChildError(CaptiondError):
    """The daemon didn't start, or died; carries the end of its log."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Base addresses of a running daemon."""

    http: str
    websocket: str
    admin: str

    def whip(self, stream: str) -> str:
        """Return where a publisher of ``stream`` posts its offer."""
        return f"{self.http}/whip/{stream}"

    def captions(self, stream: str) -> str:
        """Return where the captions of ``stream`` are read."""
        return f"{self.websocket}/streams/{stream}"


class DaemonProcess:
    """
    Async context manager around ``captiond serve``.

    Args:
        arguments: More arguments of ``captiond serve``.
        ready_timeout: Seconds until the daemon must say that it is ready.

    """

    def __init__(
        self,
        arguments: Sequence[str] = (),
        *,
        ready_timeout: float = READY_TIMEOUT,
    ) -> None:
        self._arguments = arguments
        self._ready_timeout = ready_timeout
        self._process: asyncio.subprocess.Process | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._addresses: Addresses | None = None
        self.log = ""
        """What the daemon logged, once it has stopped."""

    @property
    def addresses(self) -> Addresses:
        """Where the daemon listens."""
        assert self._addresses is not None
        return self._addresses

    @property
    def pid(self) -> int:
        """Process id of the daemon."""
        assert self._process is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code; None while it runs."""
        return None if self._process is None else self._process.returncode

    async def __aenter__(self) -> Self:
        """
        Start the daemon and wait until it is ready.

        Raises:
            ChildError: If it dies before, or takes too long.

        """
        self._directory = tempfile.TemporaryDirectory(prefix="captiond-")
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """
        Drain the daemon with SIGTERM. May be repeated.

        Raises:
            ChildError: If it doesn't end in time; it has been killed then.

        """
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT)
            except TimeoutError:
                raise ChildError(
                    f"the daemon didn't end within {STOP_TIMEOUT:g} s of SIGTERM:\n"
                    f"{self.tail()}"
                ) from None
            finally:
                if process.returncode is None:
                    # Its workers end when their socket to it does.
                    process.kill()
                    await process.wait()
        if self._directory is not None:
            self._read_log()
            self._directory.cleanup()
            self._directory = None

    async def wait(self) -> int:
        """Wait until the daemon ends by itself; return its exit code."""
        assert self._process is not None
        return await self._process.wait()

    def lines(self) -> list[dict[str, Any]]:
        """Return the log lines so far, parsed; lines that aren't JSON are left out."""
        self._read_log()
        parsed = []
        for line in self.log.splitlines():
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict):
                    parsed.append(value)
        return parsed

    def tail(self, count: int = 15) -> str:
        """Return the last lines of the log."""
        self._read_log()
        return "\n".join(self.log.splitlines()[-count:])

    @property
    def _log_path(self) -> Path:
        assert self._directory is not None
        return Path(self._directory.name) / "daemon.log"

    async def _start(self) -> None:
        with self._log_path.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "captiond", "serve"),
                *("--port", "0", "--ws-port", "0", "--admin-port", "0"),
                *("--log-level", "info", "--log-format", "json"),
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                # Ctrl-C is for us; we end the daemon when we are done with it.
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(self._ready_timeout):
                while not self._find_addresses():
                    if self._process.returncode is not None:
                        raise ChildError(
                            f"the daemon ended with code {self._process.returncode} "
                            f"before it was ready:\n{self.tail()}"
                        )
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise ChildError(
                f"the daemon was not ready within {self._ready_timeout:g} s:\n"
                f"{self.tail()}"
            ) from None

    def _find_addresses(self) -> bool:
        for line in self.lines():
            if line.get("event") == "ready":
                self._addresses = Addresses(
                    http=line["http"], websocket=line["websocket"], admin=line["admin"]
                )
                return True
        return False

    def _read_log(self) -> None:
        if self._directory is not None and self._log_path.exists():
            self.log = self._log_path.read_text(encoding="utf-8", errors="replace")
