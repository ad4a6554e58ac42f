"""The worker processes of the local engine: started, replaced, shared by sessions."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Sequence

from captiond import logs
from captiond.clock import monotonic
from captiond.config import Log
from captiond.engines.moonshine.options import MoonshineOptions
from captiond.engines.moonshine.process import Timeouts, WorkerLost, WorkerProcess
from captiond.engines.moonshine.session import MoonshineSession
from captiond.errors import EngineError
from captiond.metrics import Metrics

MODULE = "captiond.engines.moonshine.worker"

OPEN_TIMEOUT = 5.0
"""Seconds that a new session waits for a worker that is being replaced."""

STEADY = 30.0
"""Seconds that a worker must live for its end to be taken as bad luck."""

MAX_DELAY = 10.0
"""Most seconds between two tries to replace a worker that ends at once."""


class Workers:
    """
    A fixed number of worker processes, each replaced when it is lost.

    Args:
        count: Number of processes.
        options: What the workers are told.
        metrics: Where they are counted.
        log: What the workers log.
        command: What follows the interpreter on a worker's command line.
        timeouts: How long a worker may say nothing.

    """

    def __init__(
        self,
        *,
        count: int,
        options: MoonshineOptions,
        metrics: Metrics,
        log: Log,
        command: Sequence[str] = ("-m", MODULE),
        timeouts: Timeouts | None = None,
    ) -> None:
        self._command = (
            *command,
            f"--interim-interval={options.interim_interval}",
            f"--memory-bytes={options.worker_memory_bytes}",
            f"--log-level={log.level}",
            f"--log-format={log.format}",
        )
        self._metrics = metrics
        self._timeouts = timeouts or Timeouts()
        self._workers: list[WorkerProcess | None] = [None] * count
        self._busy = [0.0] * count
        self._changed = asyncio.Event()
        """Set when a worker became ready, or all were stopped."""
        self._started: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> int:
        """Number of workers that sessions can be opened on."""
        return len(self._list_ready())

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that are ready."""
        return [worker.pid for worker in self._list_ready() if worker.pid is not None]

    async def start(self) -> None:
        """
        Start all workers; return when each has loaded its model.

        Raises:
            EngineError: If one of them can't.

        """
        loop = asyncio.get_running_loop()
        self._started = [loop.create_future() for _ in self._workers]
        self._task = asyncio.create_task(self.run(), name="moonshine workers")
        try:
            await asyncio.gather(*self._started)
        except WorkerLost as exc:
            await self.stop()
            raise EngineError("worker_start", str(exc), retryable=False) from exc
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End all workers; their sessions fail."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            self._changed.set()

    async def run(self) -> None:
        """Keep all workers alive until cancelled."""
        async with asyncio.TaskGroup() as group:
            for index in range(len(self._workers)):
                group.create_task(self._keep(index), name=f"moonshine worker {index}")

    async def open(self) -> MoonshineSession:
        """
        Open a session on the worker that has fewest.

        Raises:
            EngineError: If no worker becomes ready in time.

        """
        try:
            async with asyncio.timeout(OPEN_TIMEOUT):
                while self._task is not None and not self._list_ready():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            reason = "no worker is ready"
            raise EngineError("no_worker", reason, retryable=True) from None
        ready = self._list_ready()
        if not ready:
            raise EngineError("stopped", "the engine is not running", retryable=False)
        return await min(ready, key=lambda worker: worker.sessions).open()

    def _list_ready(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker and worker.ready]

    async def _keep(self, index: int) -> None:
        """Keep one worker alive."""
        log = logs.get("engine.workers", worker=index)
        failures = 0
        while True:
            began = monotonic()
            worker = self._workers[index] = WorkerProcess(
                self._command,
                timeouts=self._timeouts,
                on_usage=functools.partial(self._count, index),
            )
            lost = await self._run(index, worker)
            if not self._started[index].done():
                # The first try is the business of whoever called start().
                self._started[index].set_exception(lost)
                return
            self._metrics.workers_replaced.labels(lost.code).inc()
            failures = 0 if monotonic() - began >= STEADY else failures + 1
            delay = _delay(failures)
            log.warning("worker lost", reason=str(lost), retry_in=delay)
            await asyncio.sleep(delay)

    async def _run(self, index: int, worker: WorkerProcess) -> WorkerLost:
        """Run a worker to its end and return what that was."""
        try:
            await worker.run(functools.partial(self._on_ready, index, worker))
        except WorkerLost as exc:
            return exc
        except Exception as exc:  # noqa: BLE001 - it would end the other workers too
            logs.get("engine.workers", worker=index).exception("a bug lost a worker")
            return WorkerLost("failed", f"{type(exc).__name__}: {exc}")
        finally:
            self._count(index, 0.0, 0.0)
            self._metrics.workers.set(self.ready)

    def _on_ready(self, index: int, worker: WorkerProcess) -> None:
        self._metrics.workers.set(self.ready)
        logs.get("engine.workers", worker=index).info("worker ready", pid=worker.pid)
        if not self._started[index].done():
            self._started[index].set_result(None)
        self._changed.set()

    def _count(self, index: int, cpu_seconds: float, busy: float) -> None:
        self._busy[index] = busy
        self._metrics.worker_cpu_seconds.inc(cpu_seconds)
        self._metrics.engine_realtime_factor.set(sum(self._busy) / len(self._busy))


def _delay(failures: int) -> float:
    """Return how long to wait after so many early ends in a row."""
    return 0.0 if failures <= 1 else min(0.25 * 2.0**failures, MAX_DELAY)
