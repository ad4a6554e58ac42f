"""Whatever an engine does, the stream goes on with the next session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import pytest

from captiond.config import EngineSection
from captiond.events import MediaTime
from captiond.live.changes import SupervisorEvent
from captiond.live.engine import SessionContext
from captiond.live.session import Hypothesis, SessionEvent, Settled
from captiond.live.supervisor import Supervisor
from captiond.metrics import Metrics
from tests.fakes import ScriptedEngine, ScriptedSession, chunk, roster


def _raise(*_: object, **__: object) -> NoReturn:
    raise ZeroDivisionError


async def _raise_later(*_: object, **__: object) -> None:
    raise ZeroDivisionError


async def _cancel(*_: object, **__: object) -> None:
    raise asyncio.CancelledError


async def _receive_badly(*_: object) -> AsyncIterator[SessionEvent]:
    raise ZeroDivisionError
    yield


async def _receive_cancelled(*_: object) -> AsyncIterator[SessionEvent]:
    raise asyncio.CancelledError
    yield


def _say(event: object) -> Callable[[Any], None]:
    return lambda session: session.emit(event)


NONE: Any = None

BUGS: dict[str, Callable[[Any], None]] = {
    "receive raises at once": lambda s: setattr(s, "receive", _raise),
    "receive raises": lambda s: setattr(s, "receive", _receive_badly),
    "receive cancels": lambda s: setattr(s, "receive", _receive_cancelled),
    "send_audio raises": lambda s: setattr(s, "send_audio", _raise_later),
    "send_audio cancels": lambda s: setattr(s, "send_audio", _cancel),
    "flush raises": lambda s: setattr(s, "flush", _raise_later),
    "abandon raises": lambda s: setattr(s, "abandon", _raise),
    "close raises": lambda s: setattr(s, "close", _raise_later),
    "no capabilities": lambda s: delattr(s, "capabilities"),
    "no event": _say("hello"),
    "no text": _say(
        Hypothesis(
            utterance="u",
            final=True,
            start=MediaTime(0.0),
            end=MediaTime(1.0),
            text=NONE,
        )
    ),
    "no times": _say(
        Hypothesis(utterance="u", final=True, start=NONE, end=NONE, text="x")
    ),
    "settled nowhere": _say(Settled(time=NONE, heard=NONE)),
    "not a number": _say(Settled(time=MediaTime(0.0), heard=MediaTime(float("nan")))),
}


class Buggy(ScriptedEngine):
    """
    An engine whose first session has a bug.

    Args:
        bug: What is done to it; without it there is no session at all.

    """

    def __init__(self, bug: Callable[[Any], None] | None) -> None:
        super().__init__()
        self._bug = bug

    async def open(self, *, stream: str, context: SessionContext) -> ScriptedSession:
        session = await super().open(stream=stream, context=context)
        if len(self.sessions) == 1:
            if self._bug is None:
                return NONE  # type: ignore[no-any-return]
            self._bug(session)
        return session


async def words_said(engine: ScriptedEngine) -> list[int]:
    """Push twelve words, and return those that were said."""
    events: list[SupervisorEvent] = []
    supervisor = Supervisor(
        roster(engine),
        "demo",
        config=EngineSection(),
        metrics=Metrics(),
        on_event=events.append,
    )
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(supervisor.run())
        for number in range(12):
            supervisor.push(chunk(number))
        assert await supervisor.flush(timeout=10)
        supervisor.stop()
    finals = [e for e in events if isinstance(e, Hypothesis) and e.final]
    return [int(word) for final in finals for word in final.text.split()]


@pytest.mark.parametrize("bug", BUGS)
async def test_a_bug_costs_a_session_and_no_word(bug: str) -> None:
    """The session is replaced, and the stream ends when it is told to."""
    assert await words_said(Buggy(BUGS[bug])) == list(range(12))


async def test_no_session_is_a_bug_too() -> None:
    """An engine that returns nothing is asked again."""
    assert await words_said(Buggy(None)) == list(range(12))
