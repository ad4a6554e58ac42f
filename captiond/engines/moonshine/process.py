"""The daemon's end of one worker process: its life, its messages, its sessions."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from captiond.clock import monotonic
from captiond.engines.moonshine.protocol import (
    Decoder,
    Kind,
    Message,
    ProtocolError,
    WorkerUsage,
    decode_event,
    decode_usage,
)
from captiond.engines.moonshine.session import MoonshineSession
from captiond.errors import EngineError
from captiond.live.session import Closed, SessionError

READ_BYTES = 1 << 16

WRITE_LIMIT_BYTES = 1 << 20
"""Unsent audio (32 seconds) beyond which senders wait."""

_STEP = 0.5
"""Seconds between two looks at how long a worker has been silent."""

EXIT_TIMEOUT = 2.0
"""Seconds that a worker has to end by itself when its socket was closed."""


class WorkerLost(Exception):
    """
    The worker can't be used any more.

    Args:
        code: ``exited`` or ``hung``, as in the metrics.
        reason: What happened, for the operator.

    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class WorkerProcess:
    """
    One worker process, from its start to its end.

    Args:
        arguments: What follows the interpreter and its ``--fd`` on the command line.
        start_timeout: Seconds until the model must be loaded.
        hang_timeout: Seconds without any message after which the worker hangs.
        on_usage: Told what the worker consumed: CPU seconds since the last call, and
            the share of time that it was busy.

    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        start_timeout: float,
        hang_timeout: float,
        on_usage: Callable[[float, float], None],
    ) -> None:
        self._arguments = arguments
        self._start_timeout = start_timeout
        self._hang_timeout = hang_timeout
        self._on_usage = on_usage
        self._decoder = Decoder()
        self._numbers = itertools.count(1)
        self._sessions: dict[int, MoonshineSession] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._usage = WorkerUsage(cpu_seconds=0.0, busy_seconds=0.0)
        self._usage_time = monotonic()
        self.pid: int | None = None
        self.ready = False
        """Whether sessions can be opened on it."""

    @property
    def sessions(self) -> int:
        """Number of open sessions."""
        return len(self._sessions)

    async def run(self, on_ready: Callable[[], None]) -> NoReturn:
        """
        Start the process and serve its sessions; never returns.

        Raises:
            WorkerLost: When it exited, hung, or sent something wrong.

        """
        reason = "the engine was stopped"
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await self._start(theirs.fileno())
            try:
                await self._serve(ours, process, on_ready)
            finally:
                self.ready = False
                await self._end(process)
        except WorkerLost as exc:
            reason = str(exc)
            raise
        except OSError as exc:
            reason = f"the worker can't be started: {exc}"
            raise WorkerLost("exited", reason) from exc
        finally:
            ours.close()
            self._fail_sessions(reason)

    async def open(self) -> MoonshineSession:
        """
        Open a session on this worker.

        Raises:
            EngineError: If the worker was lost meanwhile.

        """
        number = next(self._numbers)
        session = MoonshineSession(number=number, send=self._send)
        self._sessions[number] = session
        try:
            await self._send(Message(Kind.OPEN, number).encode())
        except BaseException:
            self._sessions.pop(number, None)
            raise
        return session

    async def _start(self, fd: int) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._arguments,
            "--fd",
            str(fd),
            pass_fds=(fd,),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )
        self.pid = process.pid
        return process

    async def _serve(
        self,
        sock: socket.socket,
        process: asyncio.subprocess.Process,
        on_ready: Callable[[], None],
    ) -> NoReturn:
        reader, self._writer = await asyncio.open_unix_connection(sock=sock)
        self._writer.transport.set_write_buffer_limits(high=WRITE_LIMIT_BYTES)
        try:
            if await self._read(reader, self._start_timeout, until_ready=True):
                self.ready = True
                self._usage_time = monotonic()
                on_ready()
                await self._read(reader, self._hang_timeout)
        except WorkerLost:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
        finally:
            # Sessions fail before anybody sends to a worker that is gone.
            self._writer.transport.abort()
        await self._end(process)
        raise WorkerLost("exited", f"the worker ended: {_cause(process.returncode)}")

    async def _read(
        self, reader: asyncio.StreamReader, timeout: float, *, until_ready: bool = False
    ) -> bool:
        """Handle messages until the worker is gone (False), or ready (True)."""
        silent = 0.0
        while True:
            try:
                # In short steps: a daemon that was itself late has been late for one
                # of them only, and doesn't take that for the worker's silence.
                async with asyncio.timeout(_STEP):
                    data = await reader.read(READ_BYTES)
            except TimeoutError:
                silent += _STEP
                if silent >= timeout:
                    raise WorkerLost(
                        "hung", f"the worker was silent for {timeout:g} s"
                    ) from None
                continue
            except ConnectionError:
                data = b""
            silent = 0.0
            if not data:
                return False
            if self._handle(data) and until_ready:
                return True

    def _handle(self, data: bytes) -> bool:
        """Handle what the worker sent; return whether it says that it is ready."""
        try:
            messages = self._decoder.feed(data)
            for message in messages:
                self._handle_message(message)
        except ProtocolError as exc:
            raise WorkerLost("exited", f"the worker sent nonsense: {exc}") from exc
        return any(message.kind is Kind.READY for message in messages)

    def _handle_message(self, message: Message) -> None:
        match message.kind:
            case Kind.READY:
                pass
            case Kind.EVENT:
                self._pass_on(message)
            case Kind.USAGE:
                self._count(decode_usage(message.payload))
            case _:
                raise ProtocolError(f"{message.kind.name} is for workers only")

    def _pass_on(self, message: Message) -> None:
        session = self._sessions.get(message.session)
        if session is None:
            return
        event = decode_event(message.payload)
        session.put(event)
        if session.ended:
            del self._sessions[message.session]
            if self._writer is not None and not isinstance(event, Closed):
                abandon = Message(Kind.ABANDON, message.session)
                self._writer.write(abandon.encode())

    def _count(self, usage: WorkerUsage) -> None:
        now = monotonic()
        elapsed = max(now - self._usage_time, 1e-3)
        cpu = usage.cpu_seconds - self._usage.cpu_seconds
        busy = (usage.busy_seconds - self._usage.busy_seconds) / elapsed
        self._usage, self._usage_time = usage, now
        self._on_usage(max(cpu, 0.0), min(busy, 1.0))

    async def _send(self, data: bytes) -> None:
        if self._writer is None or self._writer.is_closing():
            raise EngineError("worker_lost", "the worker is gone", retryable=True)
        self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError as exc:
            raise EngineError("worker_lost", str(exc), retryable=True) from exc

    def _fail_sessions(self, reason: str) -> None:
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.put(SessionError(code="worker_lost", reason=reason, retryable=True))

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Wait for the process, whose socket is closed, and kill it if need be."""
        try:
            await asyncio.wait_for(process.wait(), EXIT_TIMEOUT)
        except TimeoutError:
            pass
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _cause(status: int | None) -> str:
    if status is not None and status < 0:
        return f"signal {signal.Signals(-status).name}"
    return f"exit status {status}"
