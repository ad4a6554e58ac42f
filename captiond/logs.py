"""Logs: structlog on standard error, JSON when nobody watches a terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import FilteringBoundLogger, Processor

from captiond.config import Log

Logger = FilteringBoundLogger


def setup(config: Log) -> None:
    """Configure structlog and send the libraries' own logs through it."""
    console = config.format == "console" or (
        config.format == "auto" and sys.stderr.isatty()
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Local variables hold requests, and those hold tokens: never in a traceback.
    final: list[Processor] = (
        [
            structlog.dev.ConsoleRenderer(
                exception_formatter=structlog.dev.plain_traceback
            )
        ]
        if console
        else [
            structlog.processors.ExceptionRenderer(
                ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(),
        ]
    )
    level = getattr(logging, config.level.upper())
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *final,
            ],
        )
    )
    handler.addFilter(_OnePerSecond())
    root = logging.getLogger()
    root.handlers = [handler]
    # The libraries speak at info about every packet and check; ours is the story.
    root.setLevel(max(level, logging.WARNING))


def get(name: str, **context: object) -> Logger:
    """Return a logger that carries ``context`` on every line."""
    logger: Logger = structlog.get_logger().bind(part=name, **context)
    return logger


class _OnePerSecond(logging.Filter):
    """
    Lets one line per second and library through, with a count of the others.

    What strangers send makes libraries write a line each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._throttles: dict[str, Throttle] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        counts: list[int] = []
        throttle = self._throttles.get(record.name)
        if throttle is None:
            throttle = self._throttles[record.name] = Throttle(counts.append)
        throttle.write = counts.append
        throttle.hit()
        if counts and counts[0] > 1:
            record.msg = f"{record.getMessage()} (and {counts[0] - 1} lines before it)"
            record.args = None
        return bool(counts)


class Throttle:
    """
    Turns repeated faults into one log line per second with a count.

    Args:
        write: Called with the number of faults since the last line.
        interval: Seconds between two lines.
        clock: Monotonic clock.

    """

    def __init__(
        self,
        write: Callable[[int], None],
        *,
        interval: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.write = write
        self._interval = interval
        self._clock = clock
        self._count = 0
        self._last = float("-inf")

    def hit(self) -> None:
        """Count one fault, and write a line if the last one is old enough."""
        self._count += 1
        now = self._clock()
        if now - self._last >= self._interval:
            self.write(self._count)
            self._count = 0
            self._last = now
