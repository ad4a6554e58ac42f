"""
What transcriber and agent have in common: the ear, the modes, resumption.

No I/O: what a client said goes in, the messages to send come out. The clock is the
audio consumed.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable

from tests.servers.ear import Ear, HearingEvent
from tests.servers.gemini.faults import Faults
from tests.servers.gemini.inputs import (
    ActivityEnd,
    ActivityStart,
    Audio,
    AudioStreamEnd,
    Input,
    Unspoken,
)
from tests.servers.gemini.resumption import History
from tests.servers.gemini.script import Script
from tests.servers.gemini.setup import Setup
from tests.servers.gemini.wire import Message, Refusal, invalid
from tests.servers.programme import Programme

_NOT_BY_HAND = (
    "Explicit activity control is not supported when automatic activity detection is "
    "enabled."
)


class Conversation(abc.ABC):
    """
    One session of a client with a model.

    Args:
        setup: What the client asked for.
        programme: What can be heard.
        script: What the model does.

    """

    def __init__(self, setup: Setup, programme: Programme, script: Script) -> None:
        self.setup = setup
        self.script = script
        self.ear = Ear(programme, silence=setup.silence)
        self.faults: Callable[[], Faults] = Faults
        """What goes wrong now."""
        self.give_handle: Callable[[History], str] = lambda _history: ""
        self.history: list[tuple[str, str]] = []

    @property
    def generating(self) -> bool:
        """Return whether :meth:`advance` has something to say."""
        return False

    def advance(self) -> list[Message]:
        """Return the next part of an answer."""
        return []

    def take(self, said: Input) -> list[Message]:
        """
        Take in what the client said, and return the reply.

        Raises:
            Refusal: If the service would close the connection.

        """
        match said:
            case Audio():
                try:
                    events = self.ear.hear(said.pcm, rate=said.rate)
                except ValueError:
                    raise invalid() from None
                return self._hear(events)
            case AudioStreamEnd():
                if self.ear.manual:
                    raise invalid()
                return self._hear(self.ear.flush())
            case ActivityStart() | ActivityEnd():
                if not self.ear.manual:
                    raise Refusal(1007, _NOT_BY_HAND)
                starts = isinstance(said, ActivityStart)
                return self._hear(self.ear.open() if starts else self.ear.shut())
            case _:
                return self._take_unspoken(said)

    @abc.abstractmethod
    def _hear(self, events: Iterable[HearingEvent]) -> list[Message]:
        """Return what follows from what was heard."""

    @abc.abstractmethod
    def _take_unspoken(self, said: Unspoken) -> list[Message]:
        """Return what follows from what is no audio."""

    def _resumable(self, resumable: bool) -> list[Message]:
        if not self.setup.resumption:
            return []
        if not resumable:
            return [{"sessionResumptionUpdate": {"resumable": False}}]
        handle = self.give_handle(tuple(self.history))
        return [{"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}}]
