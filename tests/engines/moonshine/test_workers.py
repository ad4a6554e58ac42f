"""Tests of the worker processes with the real model and real speech."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from captiond.config import Log
from captiond.engines.moonshine import ENGINE
from captiond.engines.moonshine.options import MoonshineOptions
from captiond.engines.moonshine.process import Timeouts, WorkerProcess
from captiond.engines.moonshine.workers import MODULE, Workers
from captiond.errors import EngineError
from captiond.events import MediaTime
from captiond.live.engine import EngineSetup, SessionContext
from captiond.live.session import (
    Closed,
    Flushed,
    Hypothesis,
    LiveSession,
    Opened,
    SessionError,
    SessionEvent,
    Settled,
)
from captiond.media.chunk import AudioChunk
from captiond.metrics import Metrics
from tests.engines.moonshine.speech import SECONDS, pcm, word_error_rate

CHUNK_BYTES = 1280

READY_THEN = (
    "import socket, sys; "
    "sock = socket.socket(fileno=int(sys.argv[-1])); "
    "sock.sendall(bytes([0, 0, 0, 0, 16, 0, 0, 0, 0])); "
)
"""A worker that says it is ready, and then does what follows."""


def end_on_abandon(session: int, *, after: int = 0) -> str:
    """Return a worker that ends with status 9 when that session is abandoned."""
    return READY_THEN + (
        f"import time; time.sleep({after}); heard = b''\n"
        f"while bytes([0, 0, 0, 0, 5, {session}, 0, 0, 0]) not in heard:\n"
        " heard = heard[-9:] + sock.recv(1 << 16)\n"
        "sys.exit(9)"
    )


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def workers(metrics: Metrics) -> AsyncIterator[Workers]:
    pool = new_workers(metrics)
    await pool.start()
    yield pool
    await pool.stop()


def new_workers(
    metrics: Metrics,
    script: str | None = None,
    *,
    count: int = 1,
    timeouts: Timeouts | None = None,
    **options: int,
) -> Workers:
    """Return workers, one unless told; ``script`` replaces the real one."""
    return Workers(
        count=count,
        options=MoonshineOptions.model_validate(options),
        metrics=metrics,
        log=Log(level="warning"),
        command=("-m", MODULE) if script is None else ("-c", script),
        timeouts=timeouts or Timeouts(),
    )


async def speak(session: LiveSession, data: bytes, *, start: float = 0.0) -> None:
    """Send audio as fast as the worker takes it."""
    for at in range(0, len(data), CHUNK_BYTES):
        await session.send_audio(
            AudioChunk(
                start=MediaTime(start + at / 32000),
                pcm=data[at : at + CHUNK_BYTES],
                arrival=0.0,
                decoded=0.0,
            )
        )


async def read_all(session: LiveSession) -> list[SessionEvent]:
    """Read until the session ends."""
    return [event async for event in session.receive()]


async def read_until(session: LiveSession, kind: type[SessionEvent]) -> SessionEvent:
    """Read until an event of this kind."""
    async for event in session.receive():
        if isinstance(event, kind):
            return event
    raise AssertionError(f"the session ended without {kind.__name__}")


def text_of(events: list[SessionEvent]) -> str:
    """Return the text of all finals."""
    return " ".join(e.text for e in events if isinstance(e, Hypothesis) and e.final)


def counted(metrics: Metrics, name: str, **labels: str) -> float:
    """Return the value of a metric."""
    return metrics.registry.get_sample_value(f"captiond_{name}", labels) or 0.0


def failing(
    function: Callable[..., Any], times: int, exc: Exception
) -> Callable[..., Any]:
    """Return a function that fails so many times before it does its work."""
    left = itertools.count(times, -1)

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(left) > 0:
            raise exc
        return function(*args, **kwargs)

    return call


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - processes set no events
            await asyncio.sleep(0.02)


async def test_speech_is_captioned(workers: Workers) -> None:
    """Real speech comes back as text, with times within the audio and in order."""
    session = await workers.open()
    reader = asyncio.create_task(read_all(session))
    await speak(session, pcm())
    await session.close()
    events = await reader

    assert events[0] == Opened(engine="moonshine/tiny-en")
    assert events[-1] == Closed()
    assert word_error_rate(text_of(events)) <= 0.15

    finals = [e for e in events if isinstance(e, Hypothesis) and e.final]
    assert all(0 <= e.start < e.end <= SECONDS for e in finals)
    assert all(a.end <= b.start for a, b in itertools.pairwise(finals))
    assert all(e.heard and e.produced and e.heard < e.produced for e in finals)
    settled = [e for e in events if isinstance(e, Settled)]
    assert settled[-1].heard == pytest.approx(SECONDS)


async def test_interims_come_before_finals(workers: Workers) -> None:
    """At a pace that the worker keeps up with, utterances grow before they end."""
    session = await workers.open()
    reader = asyncio.create_task(read_all(session))
    for at in range(0, len(pcm()) // 2, 9600):
        await speak(session, pcm()[at : at + 9600], start=at / 32000)
        await asyncio.sleep(0.12)
    await session.close()
    events = await reader

    hypotheses = [e for e in events if isinstance(e, Hypothesis)]
    first = [e for e in hypotheses if e.utterance == hypotheses[0].utterance]
    assert len(first) >= 3
    assert [e.final for e in first] == [False] * (len(first) - 1) + [True]


async def test_streams_do_not_mix(workers: Workers, metrics: Metrics) -> None:
    """Two streams on one worker each get their own words."""
    first, second = await workers.open(), await workers.open()
    middle = int(4.85 * 32000) // 2 * 2
    readers = [asyncio.create_task(read_all(session)) for session in (first, second)]
    await asyncio.gather(speak(first, pcm()[:middle]), speak(second, pcm()[middle:]))
    await asyncio.gather(first.close(), second.close())
    one, two = [text_of(await reader).lower() for reader in readers]

    assert "best of times" in one
    assert "wisdom" not in one
    assert "wisdom" in two
    assert "best of times" not in two
    assert counted(metrics, "workers") == 1


async def test_flush(workers: Workers) -> None:
    """Flush gives the final of a sentence that was cut short, and speech goes on."""
    session = await workers.open()
    cut = int(2.9 * 32000)
    await speak(session, pcm()[:cut])
    await session.flush()
    events: list[SessionEvent] = []
    async for event in session.receive():
        events.append(event)
        if event == Flushed():
            break

    assert "best of times" in text_of(events).lower()

    await speak(session, pcm()[cut:], start=cut / 32000)
    await session.close()

    assert "worst of times" in text_of(await read_all(session)).lower()


async def test_jump_in_time(workers: Workers) -> None:
    """After a jump of the media clock, captions are at the new place."""
    session = await workers.open()
    cut = int(4.9 * 32000)
    await speak(session, pcm()[:cut])
    await speak(session, pcm()[cut:], start=100.0)
    await session.close()
    finals = [
        e for e in await read_all(session) if isinstance(e, Hypothesis) and e.final
    ]

    assert [e.start < 5 for e in finals] == [e.end < 5 for e in finals]
    assert min(e.start for e in finals) < 2
    assert max(e.end for e in finals) == pytest.approx(105.7, abs=0.3)


async def test_killed_worker_is_replaced(workers: Workers, metrics: Metrics) -> None:
    """SIGKILL of a worker fails its sessions; soon another one takes new sessions."""
    session = await workers.open()
    await speak(session, pcm()[:64000])
    [pid] = workers.pids
    os.kill(pid, signal.SIGKILL)
    error = await read_until(session, SessionError)

    assert error == SessionError(
        code="worker_lost",
        reason="the worker ended: signal SIGKILL",
        retryable=True,
    )
    with pytest.raises(EngineError) as info:
        await speak(session, bytes(1280))
    assert info.value.retryable

    session = await workers.open()
    await speak(session, pcm())
    await session.close()

    assert word_error_rate(text_of(await read_all(session))) <= 0.15
    assert workers.pids != [pid]
    assert counted(metrics, "workers_replaced_total", reason="exited") == 1


async def test_hung_worker_is_replaced(metrics: Metrics) -> None:
    """A worker that computes and says nothing is killed, and counted as hung."""
    workers = new_workers(
        metrics, READY_THEN + "[0 for _ in iter(int, 1)]", timeouts=Timeouts(hang=1.0)
    )
    await workers.start()
    session = await workers.open()
    [pid] = workers.pids
    error = await read_until(session, SessionError)
    await until(lambda: bool(workers.pids))

    assert isinstance(error, SessionError)
    assert error.reason == "the worker was silent for 1 s"
    assert workers.pids != [pid]
    assert counted(metrics, "workers_replaced_total", reason="hung") >= 1

    await workers.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_stopped_worker_is_replaced(metrics: Metrics) -> None:
    """A worker that is kept from running doesn't keep its sessions for long."""
    pool = new_workers(metrics, timeouts=Timeouts(hang=1000.0))
    await pool.start()
    session = await pool.open()
    os.kill(pool.pids[0], signal.SIGSTOP)
    async with asyncio.timeout(6):
        error = await read_until(session, SessionError)
    await pool.stop()

    assert isinstance(error, SessionError)
    assert error.reason == "the worker did nothing for 3 s"
    assert counted(metrics, "workers_replaced_total", reason="hung") == 1


async def test_worker_that_sends_nonsense_is_replaced(metrics: Metrics) -> None:
    """A worker that breaks the protocol is replaced."""
    workers = new_workers(
        metrics,
        READY_THEN + "sock.recv(1); sock.sendall(b'nonsense' * 9); sock.recv(9)",
    )
    await workers.start()
    session = await workers.open()
    error = await read_until(session, SessionError)
    await workers.stop()

    assert isinstance(error, SessionError)
    assert "nonsense" in error.reason
    assert counted(metrics, "workers_replaced_total", reason="failed") >= 1


async def test_worker_is_replaced_when_descriptors_run_out(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running out of file descriptors while a worker dies doesn't end the pool."""
    workers = new_workers(metrics, READY_THEN + "sock.recv(9)")
    await workers.start()
    full = OSError(errno.EMFILE, "Too many open files")
    monkeypatch.setattr(socket, "socketpair", failing(socket.socketpair, 2, full))
    [pid] = workers.pids
    os.kill(pid, signal.SIGKILL)
    await until(lambda: bool(workers.pids) and workers.pids != [pid])

    assert counted(metrics, "workers_replaced_total", reason="exited") == 1
    assert counted(metrics, "workers_replaced_total", reason="failed") == 2

    await workers.stop()


async def test_worker_is_replaced_after_a_bug(
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What nobody thought of fails one worker's sessions, in the log, not the pool."""
    workers = new_workers(metrics, READY_THEN + "sock.recv(9); sock.sendall(b'x' * 99)")
    await workers.start()
    broken = failing(WorkerProcess._handle, 1, RuntimeError("a bug"))
    monkeypatch.setattr(WorkerProcess, "_handle", broken)
    session = await workers.open()
    error = await read_until(session, SessionError)
    await until(lambda: bool(workers.pids))

    assert isinstance(error, SessionError)
    assert (error.code, error.retryable) == ("worker_lost", True)
    assert counted(metrics, "workers_replaced_total", reason="failed") == 1
    assert "RuntimeError: a bug" in capsys.readouterr().out

    await workers.stop()


async def test_start_fails_with_a_bug(metrics: Metrics) -> None:
    """start() raises what the engine's callers know, whatever went wrong."""
    workers = new_workers(metrics, "a null byte: \0")
    with pytest.raises(EngineError, match="worker_start: ValueError: embedded null"):
        await workers.start()


async def test_worker_that_grows_is_replaced(
    metrics: Metrics, capfd: pytest.CaptureFixture[str]
) -> None:
    """A worker whose memory grows beyond its bound ends itself and is replaced."""
    grow = (
        "import sys; from captiond.engines.moonshine import worker; "
        "grown = []; "
        "worker.Sessions._open = lambda *_: grown.append(b'x' * (1 << 28)) or b''; "
        "sys.exit(worker.main())"
    )
    workers = new_workers(metrics, grow, worker_memory_bytes=1 << 28)
    await workers.start()
    session = await workers.open()
    error = await read_until(session, SessionError)
    await until(
        lambda: counted(metrics, "workers_replaced_total", reason="memory") >= 1
    )
    await workers.stop()

    assert error == SessionError(
        code="worker_lost",
        reason="the worker ended: its memory grew beyond its bound",
        retryable=True,
    )
    assert "memory grew beyond its bound, giving up" in capfd.readouterr().err


async def test_abandoned_session_is_freed(metrics: Metrics) -> None:
    """The worker is told that a session was abandoned, and serves the others."""
    workers = new_workers(metrics, end_on_abandon(1))
    await workers.start()
    abandoned, kept = await workers.open(), await workers.open()
    abandoned.abandon()
    error = await read_until(kept, SessionError)
    await workers.stop()

    assert await read_all(abandoned) == []
    assert isinstance(error, SessionError)
    assert error.reason == "the worker ended: exit status 9"


async def test_abandoned_audio_is_dropped(workers: Workers) -> None:
    """What waits of an abandoned session doesn't keep another one waiting."""
    abandoned, kept = await workers.open(), await workers.open()
    await speak(abandoned, bytes(60 * 32000))
    await speak(kept, pcm()[:96000])
    abandoned.abandon()
    await kept.close()

    assert await read_all(abandoned) == []
    assert "best of times" in text_of(await read_all(kept)).lower()


async def test_abandon_of_a_lost_session(workers: Workers) -> None:
    """abandon() after the worker is gone does nothing."""
    session = await workers.open()
    [pid] = workers.pids
    os.kill(pid, signal.SIGKILL)
    await session.close()
    session.abandon()

    assert await read_all(session) == []


async def test_open_that_is_cancelled_leaves_no_session(metrics: Metrics) -> None:
    """A session whose opening was cancelled is taken back from the worker."""
    workers = new_workers(metrics, end_on_abandon(2, after=1))
    await workers.start()
    session = await workers.open()
    sender = asyncio.create_task(speak(session, bytes(8 << 20)))
    await asyncio.wait({sender}, timeout=0.2)
    opening = asyncio.create_task(workers.open())
    await asyncio.wait({opening}, timeout=0.2)
    opening.cancel()
    error = await read_until(session, SessionError)
    await workers.stop()

    assert isinstance(error, SessionError)
    assert error.reason == "the worker ended: exit status 9"
    assert opening.cancelled()

    with contextlib.suppress(EngineError):
        await sender


async def test_start_fails_when_a_worker_ends(metrics: Metrics) -> None:
    """start() raises when a worker ends before it is ready."""
    workers = new_workers(metrics, "import sys; sys.exit(7)")
    with pytest.raises(EngineError, match="exit status 7"):
        await workers.start()

    with pytest.raises(EngineError, match="stopped"):
        await workers.open()


async def test_start_fails_when_a_worker_is_not_ready(metrics: Metrics) -> None:
    """start() raises when a worker takes too long to load its model."""
    workers = new_workers(
        metrics, "import time; time.sleep(1000)", timeouts=Timeouts(start=0.5)
    )
    with pytest.raises(EngineError, match="worker_start"):
        await workers.start()


async def test_sessions_go_to_the_worker_with_fewest(metrics: Metrics) -> None:
    """Sessions are spread over the workers; abandoned ones don't count."""
    pool = new_workers(metrics, count=2)
    await pool.start()
    sessions = [await pool.open() for _ in range(4)]
    sessions[0].abandon()
    sessions[2].abandon()
    sessions[0] = await pool.open()
    sessions[2] = await pool.open()
    os.kill(pool.pids[0], signal.SIGKILL)
    await until(lambda: any(session.ended for session in sessions))

    assert [session.ended for session in sessions].count(True) == 2

    await pool.stop()

    assert all(session.ended for session in sessions)


async def test_stop_ends_processes_and_sessions(metrics: Metrics) -> None:
    """stop() leaves no process behind and fails the open sessions."""
    workers = new_workers(metrics)
    await workers.start()
    session = await workers.open()
    [pid] = workers.pids
    await workers.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert isinstance(await read_until(session, SessionError), SessionError)
    assert counted(metrics, "workers") == 0


async def test_usage_is_counted(workers: Workers, metrics: Metrics) -> None:
    """CPU time and the share of busy time reach the metrics."""
    session = await workers.open()
    await speak(session, pcm())
    await until(lambda: counted(metrics, "engine_realtime_factor") > 0)
    await session.close()

    assert counted(metrics, "worker_cpu_seconds_total") > 0


async def test_back_pressure(metrics: Metrics) -> None:
    """Sending waits when the worker takes nothing, instead of piling up audio."""
    workers = new_workers(metrics, READY_THEN + "import time; time.sleep(1000)")
    await workers.start()
    session = await workers.open()
    sender = asyncio.create_task(speak(session, bytes(8 << 20)))
    done, _ = await asyncio.wait({sender}, timeout=0.5)

    assert not done

    await workers.stop()

    with contextlib.suppress(EngineError):
        await sender


async def test_engine(metrics: Metrics) -> None:
    """The factory's engine starts, captions, and runs no model in this process."""
    script = (
        "import sys; import captiond.engines.moonshine as m; "
        "from captiond.config import Log; "
        "from captiond.live.engine import EngineSetup; "
        "from captiond.metrics import Metrics; "
        "m.ENGINE.create(EngineSetup(options=m.MoonshineOptions(), log=Log(), "
        "environ={}, metrics=Metrics())); "
        "sys.exit('numpy' in sys.modules or 'moonshine_voice' in sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)

    assert await process.wait() == 0

    engine = ENGINE.create(
        EngineSetup(
            options=MoonshineOptions(workers=1), log=Log(), environ={}, metrics=metrics
        )
    )

    assert engine.not_ready == "no worker is ready"

    await engine.start()

    assert engine.not_ready is None

    session = await engine.open(stream="demo", context=SessionContext())
    await speak(session, pcm()[:96000])
    await session.close()

    assert engine.name == "moonshine/tiny-en"
    assert session.capabilities.languages == ("en",)
    assert "best of times" in text_of(await read_all(session)).lower()

    await engine.stop()

    assert engine.not_ready == "no worker is ready"
