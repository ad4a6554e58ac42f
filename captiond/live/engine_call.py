"""
Around everything an engine does: its time-outs, bugs and nonsense are its failures.

Engines are written by many; whatever one does may end its session, and never a stream.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast, get_args

from captiond import logs
from captiond.errors import EngineError
from captiond.events import MediaTime
from captiond.live.session import (
    Hypothesis,
    LiveSession,
    SessionEvent,
    Settled,
)

_EVENTS = get_args(SessionEvent)


@asynccontextmanager
async def engine_call(code: str, seconds: float | None) -> AsyncIterator[None]:
    """
    Around a call of an engine.

    Args:
        code: Of the error if it takes longer.
        seconds: How long it may take; None if as long as it likes.

    Raises:
        EngineError: Whatever goes wrong; ``bug`` for what an engine must not raise.

    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        async with asyncio.timeout(seconds):
            yield
    except EngineError:
        raise
    except TimeoutError as exc:
        reason = f"the engine didn't answer for {seconds:g} s" if seconds else str(exc)
        raise EngineError(code, reason, retryable=True) from None
    except asyncio.CancelledError:
        if task.cancelling() > before:
            raise
        raise EngineError("bug", "the engine cancels its caller", retryable=True) from (
            None
        )
    except Exception as exc:
        logs.get("engine").exception("an engine has a bug")
        reason = f"{type(exc).__name__}: {exc}"
        raise EngineError("bug", reason, retryable=True) from exc


def abandon(session: LiveSession) -> None:
    """End a session at once, whatever it does about it."""
    try:
        session.abandon()
    except Exception:  # noqa: BLE001 - the session is over, and ends nothing else
        logs.get("engine").exception("an engine has a bug")


def checked(event: object, *, sent_until: MediaTime) -> SessionEvent:
    """
    Return an event as it may be believed: no time is after the audio sent.

    Raises:
        EngineError: If it isn't an event, or has nonsense in it.

    """
    match event:
        case Hypothesis():
            text: object = event.text
            if not isinstance(text, str) or not _are_times(event.start, event.end):
                raise _nonsense(event)
            end = MediaTime(min(event.end, sent_until))
            start = MediaTime(min(event.start, end))
            return dataclasses.replace(event, start=start, end=end)
        case Settled():
            if not _are_times(event.time, event.heard):
                raise _nonsense(event)
            heard = MediaTime(min(event.heard, sent_until))
            return Settled(time=MediaTime(min(event.time, heard)), heard=heard)
        case _ if isinstance(event, _EVENTS):
            return cast(SessionEvent, event)
        case _:
            raise _nonsense(event)


def _are_times(*values: object) -> bool:
    return all(
        isinstance(each, int | float) and not math.isnan(each) for each in values
    )


def _nonsense(event: object) -> EngineError:
    return EngineError("bug", f"the engine says {event!r:.100}", retryable=True)
