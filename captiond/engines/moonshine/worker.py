"""
The ASR worker: a process that loads the model once and serves many sessions.

One thread: take in all audio that waits, update the stream that is most overdue, write
what came of it. It is started by :mod:`.workers` with one end of a socket pair, and
ends when the other end closes, so a daemon that was killed leaves no orphan.
"""

from __future__ import annotations

import argparse
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence

from captiond import logs
from captiond.clock import monotonic
from captiond.config import Log
from captiond.engines.moonshine.library import Model, Source
from captiond.engines.moonshine.lines import Lines
from captiond.engines.moonshine.protocol import (
    BAD_MESSAGE_STATUS,
    MEMORY_STATUS,
    Decoder,
    Kind,
    Message,
    ProtocolError,
    WorkerUsage,
    decode_audio,
    encode_event,
    encode_usage,
)
from captiond.engines.moonshine.schedule import Schedule
from captiond.live.session import Closed, Flushed, Opened, SessionError, SessionEvent

ENGINE = "moonshine/tiny-en"

READ_BYTES = 1 << 18

MAX_PENDING = 120.0
"""Seconds of audio of all sessions that wait before no more is read: what is sent then
waits in the socket, and at last in the daemon, which owns the audio."""

USAGE_INTERVAL = 1.0
"""Seconds between two heartbeats."""


class MemoryExceeded(Exception):
    """The worker uses more memory than it may."""

    def __init__(self, used_bytes: int) -> None:
        super().__init__(f"{used_bytes} bytes")
        self.used_bytes = used_bytes


class Sessions:
    """
    The sessions of a worker: messages in, messages out, no I/O.

    Args:
        open_source: Opens a source with an empty past.
        interim_interval: Seconds of new audio between two interims.
        clock: Monotonic clock.

    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        *,
        interim_interval: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._open_source = open_source
        self._clock = clock
        self._lines: dict[int, Lines] = {}
        self._schedule = Schedule(interim_interval=interim_interval)
        self.busy_seconds = 0.0
        """Time spent in updates so far."""

    @property
    def pending(self) -> float:
        """Seconds of audio that wait for an update, of all sessions."""
        return sum(lines.pending for lines in self._lines.values())

    def handle(self, message: Message) -> bytes:
        """
        Take a message from the daemon and return what to answer at once.

        Raises:
            ProtocolError: If the message makes no sense.

        """
        if message.kind is Kind.OPEN:
            return self._open(message.session)
        lines = self._lines.get(message.session)
        if lines is None:
            # The session failed, and the daemon has not heard of it yet.
            return b""
        match message.kind:
            case Kind.AUDIO:
                start, pcm = decode_audio(message.payload)
                before = lines.pending
                lines.feed(start, pcm, received=self._clock())
                self._schedule.heard(message.session, lines.pending - before)
            case Kind.FLUSH:
                self._finish(message.session, Flushed())
            case Kind.CLOSE:
                self._finish(message.session, Closed())
            case Kind.ABANDON:
                self._remove(message.session)
            case _:
                raise ProtocolError(f"{message.kind.name} is not for workers")
        return b""

    def work(self) -> bytes | None:
        """Update the most overdue stream; return what to send, None if none is due."""
        session = self._schedule.next()
        if session is None:
            return None
        lines = self._lines[session]
        started = self._clock()
        try:
            events = lines.update()
        except Exception as exc:  # noqa: BLE001 - one stream's must not fail all others
            logs.get("engine.worker").exception("a session failed", session=session)
            self._remove(session)
            reason = f"{type(exc).__name__}: {exc}"
            return encode_event(
                session,
                SessionError(code="engine_failed", reason=reason, retryable=True),
            )
        finally:
            self.busy_seconds += self._clock() - started
        if any(isinstance(event, Closed) for event in events):
            self._remove(session)
        else:
            self._schedule.updated(
                session,
                pending=lines.pending,
                asked=lines.asked,
                speaking=lines.speaking,
            )
        return b"".join(encode_event(session, event) for event in events)

    def _open(self, session: int) -> bytes:
        if session in self._lines:
            raise ProtocolError(f"session {session} is open already")
        self._lines[session] = Lines(self._open_source, clock=self._clock)
        self._schedule.add(session)
        return encode_event(session, Opened(engine=ENGINE))

    def _finish(self, session: int, answer: SessionEvent) -> None:
        self._lines[session].finish(answer)
        self._schedule.ask(session)

    def _remove(self, session: int) -> None:
        self._lines.pop(session).close()
        self._schedule.remove(session)


class Connection:
    """
    The worker's loop between its socket and its sessions.

    Args:
        sock: Connects it with the daemon.
        sessions: Its sessions.
        memory_bytes: Memory beyond which it gives up.

    """

    def __init__(
        self, sock: socket.socket, sessions: Sessions, *, memory_bytes: int
    ) -> None:
        self._sock = sock
        self._sessions = sessions
        self._memory_bytes = memory_bytes
        self._decoder = Decoder()
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ)
        self._next_usage = monotonic()

    def run(self) -> None:
        """
        Serve until the other end closes.

        Raises:
            ProtocolError: If it sends something that is not a message.
            MemoryExceeded: If the worker has grown beyond its bound.
            OSError: If it is gone while something is sent to it.

        """
        while True:
            self._beat()
            full = self._sessions.pending > MAX_PENDING
            if not full and not self._read():
                return
            output = self._sessions.work()
            if output is None:
                self._selector.select(max(self._next_usage - monotonic(), 0.0))
            elif output:
                self._sock.sendall(output)

    def _read(self) -> bool:
        """Take in all that waits; return whether the other end is still there."""
        while self._sessions.pending <= MAX_PENDING:
            try:
                data = self._sock.recv(READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if not data:
                return False
            for message in self._decoder.feed(data):
                answer = self._sessions.handle(message)
                if answer:
                    self._sock.sendall(answer)
        return True

    def _beat(self) -> None:
        """Once a second tell what was used, and look whether that is too much."""
        now = monotonic()
        if now >= self._next_usage:
            self._next_usage = now + USAGE_INTERVAL
            usage = WorkerUsage(
                cpu_seconds=time.process_time(),
                busy_seconds=self._sessions.busy_seconds,
            )
            self._sock.sendall(encode_usage(usage))
            used = memory_bytes()
            if used > self._memory_bytes:
                raise MemoryExceeded(used)


def memory_bytes() -> int:
    """Return the memory that this process uses; its peak where that is all to know."""
    try:
        # The peak won't do here: a new process begins with that of its parent.
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker; return its exit status."""
    # Ctrl-C goes to the whole group of processes; the daemon decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    options = _parse(arguments)
    logs.setup(Log(level=options.log_level, format=options.log_format))
    log = logs.get("engine.worker", pid=os.getpid())
    with socket.socket(fileno=options.fd) as sock:
        try:
            model = Model()
            sock.sendall(Message(Kind.READY).encode())
            sessions = Sessions(model.open, interim_interval=options.interim_interval)
            Connection(sock, sessions, memory_bytes=options.memory_bytes).run()
        except ProtocolError as exc:
            log.error("bad message from the daemon, giving up", reason=str(exc))  # noqa: TRY400
            return BAD_MESSAGE_STATUS
        except MemoryExceeded as exc:
            log.error(  # noqa: TRY400
                "memory grew beyond its bound, giving up",
                used_bytes=exc.used_bytes,
                limit_bytes=options.memory_bytes,
            )
            return MEMORY_STATUS
        except (BrokenPipeError, ConnectionResetError):
            log.debug("the daemon is gone")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="captiond-worker")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--interim-interval", type=float, required=True)
    parser.add_argument("--memory-bytes", type=int, default=sys.maxsize)
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--log-format", default="auto")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
