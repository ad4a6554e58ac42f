"""Tests of the worker processes with the real model and real speech."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from captiond.config import Config, EngineSection, Log
from captiond.engines.moonshine import create
from captiond.engines.moonshine.workers import MODULE, Workers
from captiond.errors import EngineError
from captiond.events import MediaTime
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
    start_timeout: float = 30.0,
    hang_timeout: float = 8.0,
) -> Workers:
    """Return one worker; ``script`` replaces the real one."""
    return Workers(
        count=1,
        interim_interval=0.3,
        metrics=metrics,
        log=Log(level="warning"),
        command=("-m", MODULE) if script is None else ("-c", script),
        start_timeout=start_timeout,
        hang_timeout=hang_timeout,
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
    """A worker that falls silent is killed, and counted as hung."""
    workers = new_workers(
        metrics, READY_THEN + "import time; time.sleep(1000)", hang_timeout=1.0
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
    """A worker that is kept from running doesn't keep its sessions."""
    pool = new_workers(metrics, hang_timeout=2.0)
    await pool.start()
    session = await pool.open()
    os.kill(pool.pids[0], signal.SIGSTOP)
    await read_until(session, SessionError)
    await pool.stop()

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


async def test_start_fails_when_a_worker_ends(metrics: Metrics) -> None:
    """start() raises when a worker ends before it is ready."""
    workers = new_workers(metrics, "import sys; sys.exit(7)")
    with pytest.raises(EngineError, match="exit status 7"):
        await workers.start()

    with pytest.raises(EngineError, match="stopped"):
        await workers.open()


async def test_start_fails_when_a_worker_is_not_ready(metrics: Metrics) -> None:
    """start() raises when a worker takes too long to load its model."""
    workers = new_workers(metrics, "import time; time.sleep(1000)", start_timeout=0.5)
    with pytest.raises(EngineError, match="worker_start"):
        await workers.start()


async def test_sessions_go_to_the_worker_with_fewest() -> None:
    """Sessions are spread over the workers."""
    pool = Workers(
        count=2, interim_interval=0.3, metrics=Metrics(), log=Log(level="warning")
    )
    await pool.start()
    sessions = [await pool.open() for _ in range(4)]
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
        "from captiond.config import Config; from captiond.metrics import Metrics; "
        "m.create(Config(), Metrics()); "
        "sys.exit('numpy' in sys.modules or 'moonshine_voice' in sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)

    assert await process.wait() == 0

    engine = create(Config(engine=EngineSection(workers=1)), metrics)
    await engine.start()
    session = await engine.open(stream="demo")
    await speak(session, pcm()[:96000])
    await session.close()

    assert engine.name == "moonshine/tiny-en"
    assert session.capabilities.languages == ("en",)
    assert "best of times" in text_of(await read_all(session)).lower()

    await engine.stop()
