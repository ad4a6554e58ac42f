"""Tests of the worker: its sessions on a fake, and the process itself."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from captiond.engines.moonshine.library import Line
from captiond.engines.moonshine.protocol import (
    BAD_MESSAGE_STATUS,
    Decoder,
    Kind,
    Message,
    ProtocolError,
    decode_event,
    encode_audio,
)
from captiond.engines.moonshine.worker import ENGINE, Sessions
from captiond.events import MediaTime
from captiond.live.session import (
    Closed,
    Flushed,
    Opened,
    SessionError,
    SessionEvent,
    Settled,
)


class FakeSource:
    """A source that hears nothing, or fails."""

    def __init__(self, *, fail: bool = False) -> None:
        self.fail = fail
        self.closed = False

    def feed(self, pcm: bytes) -> None:
        pass

    def update(self) -> list[Line]:
        if self.fail:
            raise RuntimeError("the library failed")
        return []

    def close(self) -> None:
        self.closed = True


def parse(data: bytes | None) -> list[tuple[int, SessionEvent]]:
    """Return the events, with their sessions, of what a worker sent."""
    messages = Decoder().feed(data or b"")
    return [(message.session, decode_event(message.payload)) for message in messages]


def message(data: bytes) -> Message:
    """Return the one message in ``data``."""
    [only] = Decoder().feed(data)
    return only


def audio(session: int, start: float = 0.0) -> Message:
    """Return 200 ms of silence."""
    return message(encode_audio(session, MediaTime(start), bytes(6400)))


def test_sessions_answer() -> None:
    """A session is opened, hears, is flushed and closed."""
    source = FakeSource()
    sessions = Sessions(lambda: source, interim_interval=0.3)

    assert parse(sessions.handle(Message(Kind.OPEN, 1))) == [(1, Opened(engine=ENGINE))]
    assert sessions.work() is None

    sessions.handle(audio(1))

    assert sessions.pending == pytest.approx(0.2)
    assert parse(sessions.work()) == [
        (1, Settled(time=MediaTime(0.0), heard=MediaTime(0.2)))
    ]
    assert sessions.work() is None

    sessions.handle(Message(Kind.FLUSH, 1))
    sessions.handle(Message(Kind.CLOSE, 1))

    assert parse(sessions.work())[-1] == (1, Flushed())
    assert parse(sessions.work()) == [(1, Closed())]
    assert source.closed
    assert sessions.work() is None


def test_a_failure_stays_in_its_session() -> None:
    """What the library raises ends one session; the others go on."""
    sources = iter([FakeSource(fail=True), FakeSource()])
    sessions = Sessions(lambda: next(sources), interim_interval=0.3)
    for session in (1, 2):
        sessions.handle(Message(Kind.OPEN, session))
        sessions.handle(audio(session))
    sessions.handle(Message(Kind.FLUSH, 1))

    [(session, error)] = parse(sessions.work())

    assert session == 1
    assert error == SessionError(
        code="engine_failed",
        reason="RuntimeError: the library failed",
        retryable=True,
    )

    sessions.handle(audio(1, 0.2))
    sessions.handle(Message(Kind.CLOSE, 1))

    assert [session for session, _ in parse(sessions.work())] == [2]
    assert sessions.work() is None


def test_abandoned_sessions_are_forgotten() -> None:
    """A session that nobody wants is forgotten without an answer."""
    sessions = Sessions(FakeSource, interim_interval=0.3)
    sessions.handle(Message(Kind.OPEN, 1))
    sessions.handle(audio(1))

    assert sessions.handle(Message(Kind.ABANDON, 1)) == b""
    assert sessions.work() is None
    assert sessions.pending == 0


@pytest.mark.parametrize("kind", [Kind.OPEN, Kind.READY])
def test_messages_that_make_no_sense(kind: Kind) -> None:
    """Opening twice, and what only a worker says, is refused."""
    sessions = Sessions(FakeSource, interim_interval=0.3)
    sessions.handle(Message(Kind.OPEN, 1))

    with pytest.raises(ProtocolError):
        sessions.handle(Message(kind, 1))


class Process:
    """A worker process and our end of its socket."""

    def __init__(self, process: subprocess.Popen[str], sock: socket.socket) -> None:
        self.process = process
        self.sock = sock

    def wait_until_ready(self) -> None:
        """Read until the worker is ready."""
        decoder = Decoder()
        while True:
            for received in decoder.feed(self.sock.recv(4096)):
                if received.kind is Kind.READY:
                    return

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit status and what was logged."""
        _, log = self.process.communicate(timeout=20)
        return self.process.returncode, log


@pytest.fixture
def worker() -> Iterator[Process]:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "captiond.engines.moonshine.worker"),
                *("--fd", str(theirs.fileno()), "--interim-interval", "0.3"),
            ],
            pass_fds=(theirs.fileno(),),
            stderr=subprocess.PIPE,
            text=True,
        )
    ours.settimeout(20)
    with ours, process:
        yield Process(process, ours)
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def test_worker_ends_with_its_socket(worker: Process) -> None:
    """A worker whose daemon is gone ends by itself."""
    worker.wait_until_ready()
    worker.sock.close()

    assert worker.end() == (0, "")


def test_worker_ends_while_it_works(worker: Process) -> None:
    """A worker whose daemon vanishes amid the audio ends by itself."""
    worker.wait_until_ready()
    worker.sock.sendall(Message(Kind.OPEN, 1).encode())
    for at in range(100):
        chunk = bytes(range(256)) * 25
        worker.sock.sendall(encode_audio(1, MediaTime(at / 5), chunk))
    worker.sock.close()

    assert worker.end()[0] == 0


def test_worker_ends_on_garbage(worker: Process) -> None:
    """A worker that is sent garbage says so and ends."""
    worker.wait_until_ready()
    worker.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
    status, log = worker.end()

    assert status == BAD_MESSAGE_STATUS
    assert "bad message from the daemon" in log
    assert "too large" in log


def test_worker_ignores_ctrl_c(worker: Process) -> None:
    """SIGINT, which the terminal sends to the whole group, doesn't end a worker."""
    worker.wait_until_ready()
    worker.process.send_signal(signal.SIGINT)
    worker.sock.sendall(Message(Kind.OPEN, 1).encode())
    decoder = Decoder()
    received: list[Message] = []
    while not any(item.kind is Kind.EVENT for item in received):
        received += decoder.feed(worker.sock.recv(4096))

    assert worker.process.poll() is None
