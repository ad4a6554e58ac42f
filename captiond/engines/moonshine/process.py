"""The daemon's end of one worker process: its life, its messages, its sessions."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Literal, NoReturn

from captiond.clock import monotonic
from captiond.engines.moonshine.protocol import (
    BAD_MESSAGE_STATUS,
    MEMORY_STATUS,
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

LossCode = Literal["exited", "failed", "hung", "memory"]
"""Why a worker is lost, as metrics count it: it ended by itself; it could not be
started, broke the protocol, or met a bug here; it was silent; it grew too large."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a worker may say nothing. It speaks once a second between updates."""

    start: float = 60.0
    """Until its model is loaded; that takes one second, on an idle machine."""

    hang: float = 8.0
    """While it computes. An update of the hardest speech, 5 seconds of it in a line
    that is at its longest, took up to 2.2 seconds with three processes on two cores.
    To take a slow machine for a hung worker would make it slower still, as the next
    worker has to load the model and to hear the same audio again."""

    idle: float = 3.0
    """While it uses no CPU time at all: it is stopped or waits for ever. Even a busy
    machine gives each process some time in each second, and waiting for audio doesn't
    keep a worker from speaking. Short enough that a drain still has the time for
    another worker to say the last words."""


class WorkerLost(Exception):
    """
    The worker can't be used any more.

    Args:
        code: The kind of loss.
        reason: What happened, for the operator.

    """

    def __init__(self, code: LossCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class WorkerProcess:
    """
    One worker process, from its start to its end.

    Args:
        arguments: What follows the interpreter and its ``--fd`` on the command line.
        timeouts: How long it may say nothing.
        on_usage: Told what the worker consumed: CPU seconds since the last call, and
            the share of time that it was busy.

    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        timeouts: Timeouts,
        on_usage: Callable[[float, float], None],
    ) -> None:
        self._arguments = arguments
        self._timeouts = timeouts
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
        try:
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    process = await self._start(theirs.fileno())
                try:
                    await self._serve(ours, process, on_ready)
                finally:
                    self.ready = False
                    await self._end(process)
        except OSError as exc:
            reason = f"the worker can't be started: {exc}"
            raise WorkerLost("failed", reason) from exc
        except Exception as exc:
            reason = str(exc)
            raise
        finally:
            self._fail_sessions(reason)

    async def open(self) -> MoonshineSession:
        """
        Open a session on this worker.

        Raises:
            EngineError: If the worker was lost meanwhile.

        """
        number = next(self._numbers)
        session = MoonshineSession(number=number, send=self._send, forget=self._forget)
        self._sessions[number] = session
        try:
            await self._send(Message(Kind.OPEN, number).encode())
        except BaseException:
            self._forget(number)
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
        limits = self._timeouts
        # A disk may well let a model wait.
        loading = _Silence(process.pid, hang=limits.start, idle=limits.start)
        serving = _Silence(process.pid, hang=limits.hang, idle=limits.idle)
        try:
            if await self._read(reader, loading, until_ready=True):
                self.ready = True
                self._usage_time = monotonic()
                on_ready()
                await self._read(reader, serving, until_ready=False)
        except WorkerLost:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
        finally:
            # Sessions fail before anybody sends to a worker that is gone.
            self._writer.transport.abort()
        await self._end(process)
        raise WorkerLost(
            "memory" if process.returncode == MEMORY_STATUS else "exited",
            f"the worker ended: {_cause(process.returncode)}",
        )

    async def _read(
        self, reader: asyncio.StreamReader, silence: _Silence, *, until_ready: bool
    ) -> bool:
        """Handle messages until the worker is gone (False), or ready (True)."""
        while True:
            try:
                # In short steps: a daemon that was itself late has been late for one
                # of them only, and doesn't take that for the worker's silence.
                async with asyncio.timeout(_STEP):
                    data = await reader.read(READ_BYTES)
            except TimeoutError:
                silence.grow()
                continue
            except ConnectionError:
                data = b""
            silence.end()
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
            raise WorkerLost("failed", f"the worker sent nonsense: {exc}") from exc
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
        if isinstance(event, Closed):
            del self._sessions[message.session]
        elif session.ended:
            self._forget(message.session)

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

    def _forget(self, number: int) -> None:
        """Forget a session, here and at the worker. Never waits and never raises."""
        if self._sessions.pop(number, None) is None:
            return
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(Message(Kind.ABANDON, number).encode())

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


class _Silence:
    """
    A worker's silence, which grows by steps until it means that the worker hangs.

    Args:
        pid: The worker.
        hang: Seconds of silence that mean it in any case.
        idle: Seconds that mean it when no CPU time was used.

    """

    def __init__(self, pid: int, *, hang: float, idle: float) -> None:
        self._pid = pid
        self._hang = hang
        self._idle = idle
        self._silent_for = 0.0
        self._idle_for = 0.0
        self._cpu_seconds = -1.0

    def grow(self) -> None:
        """
        Note that nothing was said for another step.

        Raises:
            WorkerLost: If the worker hangs.

        """
        cpu = _cpu_seconds(self._pid)
        self._silent_for += _STEP
        self._idle_for = self._idle_for + _STEP if cpu == self._cpu_seconds else 0.0
        self._cpu_seconds = cpu
        if self._idle_for >= self._idle:
            raise WorkerLost("hung", f"the worker did nothing for {self._idle_for:g} s")
        if self._silent_for >= self._hang:
            raise WorkerLost(
                "hung", f"the worker was silent for {self._silent_for:g} s"
            )

    def end(self) -> None:
        """Note that something was said."""
        self._silent_for = self._idle_for = 0.0


def _cause(status: int | None) -> str:
    if status == MEMORY_STATUS:
        return "its memory grew beyond its bound"
    if status == BAD_MESSAGE_STATUS:
        return "it was sent something that is not a message"
    if status is not None and status < 0:
        return f"signal {signal.Signals(-status).name}"
    return f"exit status {status}"


def _cpu_seconds(pid: int) -> float:
    """Return a process's CPU time; where that can't be told, one that always grows."""
    if sys.platform.startswith("linux"):
        # The clock is clock_getcpuclockid()'s, which Python doesn't have.
        with contextlib.suppress(OSError):
            return time.clock_gettime((~pid << 3) | 2)
    return monotonic()
