"""What the OpenAI-like test servers hear, and when they tell it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from tests.servers.ear import Started, VoiceActivity
from tests.servers.openai_faults import FaultSwitch
from tests.servers.programme import Programme
from tests.servers.recogniser import CELL_SECONDS, Recogniser

Event = Mapping[str, Any]
Send = Callable[[Event], Awaitable[None]]

MAX_PLANNED = 1000
_SWAP_WITHIN = 0.5
"""Seconds that a transcript waits for the one which it changes places with."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PeerSetup:
    """What a dialect's side of a connection is made with."""

    programme: Programme
    query: Mapping[str, str]
    send: Send
    faults: FaultSwitch
    tasks: asyncio.TaskGroup
    latency: float
    """Seconds from the end of an item's audio to its transcript."""


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """Speech began or ended at a second of the session."""

    started: bool
    at: float


class Hearing:
    """
    The words and the turns in the audio of a session.

    Args:
        programme: What can be heard.
        rate: Samples per second of the audio.

    """

    def __init__(self, programme: Programme, *, rate: int) -> None:
        self._recogniser = Recogniser(programme, rate=rate)
        self._activity: VoiceActivity | None = None
        self._silence = self._prefix = 0.0
        self._last_end = 0.0
        self._words: list[str] = []

    @property
    def seconds(self) -> float:
        """Return how much audio was heard."""
        return self._recogniser.seconds

    @property
    def speaking(self) -> bool:
        """Return whether a turn has begun and not ended."""
        return self._activity is not None and self._activity.active

    @property
    def words(self) -> Sequence[str]:
        """Return the words of the item that isn't complete."""
        return self._words

    def detect_turns(self, *, silence: float, prefix: float) -> None:
        """
        Find turns from now on.

        Args:
            silence: Seconds of silence that end one.
            prefix: Seconds before its speech that belong to it.

        """
        # Its clock is that of the session.
        activity = VoiceActivity(silence)
        activity.push([False] * round(self.seconds / CELL_SECONDS))
        self._activity = activity
        self._silence, self._prefix = silence, prefix

    def detect_no_turns(self) -> None:
        """Leave it to the client."""
        self._activity = None

    async def feed(self, pcm: bytes) -> list[str]:
        """Hear audio; return the words that it completed."""
        # Looking for the place in the programme takes too long for the event loop.
        heard = await asyncio.to_thread(self._recogniser.feed, pcm)
        return self._add(word.text for word in heard)

    async def take_turns(self) -> list[Turn]:
        """Return what began and ended in the audio since the last time."""
        flags = self._recogniser.take_speech()
        if self._activity is None:
            return []
        turns = []
        for edge in self._activity.push(flags):
            if isinstance(edge, Started):
                at = max(edge.at - self._prefix, self._last_end)
                turns.append(Turn(started=True, at=at))
            else:
                self._last_end = edge.at + self._silence
                turns.append(Turn(started=False, at=self._last_end))
                if not self._recogniser.located:
                    self._add(word.text for word in self._recogniser.finish())
        return turns

    async def finish(self) -> None:
        """End the item here, with what was heard of it."""
        heard = await asyncio.to_thread(self._recogniser.finish)
        self._add(word.text for word in heard)
        if self._activity is not None:
            self._activity.stop()
            self._last_end = self.seconds

    def take_words(self) -> list[str]:
        """Return the words of the item, and begin the next one."""
        words, self._words = self._words, []
        return words

    def _add(self, words: Iterable[str]) -> list[str]:
        new = list(words)
        self._words += new
        return new


class Transcripts:
    """
    Sends what was made of items, a moment after they ended.

    Args:
        setup: Of the connection.

    """

    def __init__(self, setup: PeerSetup) -> None:
        self._setup = setup
        self._planned: asyncio.Queue[Sequence[Event]] = asyncio.Queue(MAX_PLANNED)
        setup.tasks.create_task(self._run())

    def plan(self, transcript: Sequence[Event], *, failed: Sequence[Event]) -> None:
        """
        Tell an item's transcript later.

        Args:
            transcript: Events; the last one completes the item.
            failed: What is told instead where it fails.

        """
        faults = self._setup.faults
        if faults.take("fail_items"):
            transcript = failed
        elif faults.take("never_completed"):
            transcript = transcript[:-1]
        elif faults.take("completed_twice"):
            transcript = [*transcript, transcript[-1]]
        self._planned.put_nowait(transcript)

    async def _run(self) -> None:
        while True:
            transcripts = [await self._planned.get()]
            if self._setup.faults.take("out_of_order"):
                transcripts[:0] = await self._next()
            await asyncio.sleep(self._setup.latency)
            for transcript in transcripts:
                for event in transcript:
                    await self._setup.send(event)

    async def _next(self) -> list[Sequence[Event]]:
        try:
            async with asyncio.timeout(_SWAP_WITHIN):
                return [await self._planned.get()]
        except TimeoutError:
            return []  # there is none to change places with
