"""One client's connection: setup, the conversation, and what is told to go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from websockets.exceptions import ConnectionClosed

from tests.servers.gemini.agent import Agent
from tests.servers.gemini.conversation import Conversation
from tests.servers.gemini.faults import DEADLINE, Faults
from tests.servers.gemini.inputs import Audio, AudioStreamEnd, Input, inputs_of
from tests.servers.gemini.log import Direction
from tests.servers.gemini.peer import Peer
from tests.servers.gemini.records import described, kinds_of
from tests.servers.gemini.setup import read_setup
from tests.servers.gemini.transcriber import Transcriber
from tests.servers.gemini.wire import Message, Refusal, decode, encode, go_away, invalid

if TYPE_CHECKING:
    from tests.servers.gemini.server import GeminiServer

Then = Literal["close", "silence"]

_REASON_BYTES = 123
_HUGE_BYTES = 3 << 19
_CODE_ABNORMAL = 1006


class Connection:
    """
    A connection that is open; the methods make it misbehave.

    Args:
        server: Where it came in.
        peer: The WebSocket.
        version: The version of the API in its path.
        authorised: Whether its key is right.

    """

    def __init__(
        self, server: GeminiServer, peer: Peer, *, version: str, authorised: bool
    ) -> None:
        self._server = server
        self._peer = peer
        self._version = version
        self._authorised = authorised
        self._conversation: Conversation | None = None
        # Reader and answerer take turns; hearing may be in a thread meanwhile.
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self._muted = False
        self._tasks: asyncio.TaskGroup | None = None
        self._fired: set[str] = set()
        self._fired_of: Faults | None = None
        self._triggers: Mapping[str, Callable[[Faults], Awaitable[None]]] = {
            "unknown_after": lambda _: self.send({"novelty": {"text": "unheard of"}}),
            "error_after": lambda _: self.send(_ERROR),
            "invalid_json_after": lambda _: self._send_raw('{"serverContent":{', []),
            "huge_after": lambda _: self.send(_huge()),
            "go_away_after": lambda faults: self.go_away(
                faults.go_away_left,
                then=faults.go_away_then,
                code=faults.close_code,
                reason=faults.close_reason,
            ),
            "mute_after": lambda _: self._do(self.mute),
            "stop_reading_after": lambda _: self._do(self.stop_reading),
            "abort_after": lambda _: self._do(self.abort),
            "close_after": lambda faults: self.close(
                faults.close_code, faults.close_reason
            ),
        }

    @property
    def number(self) -> int:
        """Return its number, from 1."""
        return self._peer.number

    @property
    def faults(self) -> Faults:
        """Return what goes wrong here now; may be set."""
        return self._peer.faults()

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._peer.own_faults = faults

    @property
    def seconds(self) -> float:
        """Return how much audio it has sent."""
        return self._conversation.ear.seconds if self._conversation else 0.0

    async def run(self) -> None:
        """Converse until one side closes; to be called once."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._converse())
                self._tasks.create_task(self._expire())
        except* Refusal as group:
            refusal = group.exceptions[0]
            assert isinstance(refusal, Refusal)
            await self._close(refusal.code, refusal.reason)
        except* ConnectionClosed:
            pass
        self._log("in", "closed", content=self._peer.close_code or _CODE_ABNORMAL)

    async def send(self, message: Message) -> None:
        """Say anything."""
        await self._send_raw(encode(message), kinds_of(message))

    async def go_away(
        self,
        left: float,
        *,
        then: Then = "close",
        code: int = 1011,
        reason: str = DEADLINE,
    ) -> None:
        """Announce the end, and keep the promise."""
        await self.send(go_away(left))
        if then == "silence":
            self.mute()
        elif self._tasks is not None:
            self._tasks.create_task(self._close_in(left, code, reason))

    async def close(self, code: int = 1011, reason: str = DEADLINE) -> None:
        """Close the WebSocket."""
        await self._close(code, reason)

    def mute(self) -> None:
        """Say nothing any more, but go on reading."""
        self._muted = True

    def stop_reading(self) -> None:
        """Read nothing any more."""
        self._reading.clear()
        self._peer.stop_reading()

    def abort(self) -> None:
        """Reset the TCP connection."""
        self._log("out", "abort")
        self._peer.reset()

    async def _converse(self) -> None:
        self._conversation = await self._set_up()
        assert self._tasks is not None
        self._tasks.create_task(self._answer(self._conversation))
        while True:
            frame = await self._peer.recv()
            await self._reading.wait()
            for said in self._read(frame):
                await self._take(self._conversation, said)

    async def _set_up(self) -> Conversation:
        frame = await self._peer.recv()
        message = decode(frame)
        self._log("in", "setup", size=len(frame), content=message.get("setup"))
        if not self._authorised:
            raise Refusal(1007, "API key not valid. Please pass a valid API key.")
        setup = read_setup(message, self._server.settings.models, self._version)
        kind = Transcriber if setup.model.profile == "transcribe" else Agent
        conversation = kind(setup, self._server.programme, self._server.settings.script)
        conversation.faults = self._peer.faults
        name = setup.model.name
        handles = self._server.handles
        if setup.handle is not None:
            others = {c.number for c in self._server.connections} - {self.number}
            conversation.history += handles.resume(
                setup.handle, model=name, still_open=others
            )
        conversation.give_handle = lambda history: handles.give(
            connection=self.number, model=name, history=history
        )
        await self._answer_setup()
        return conversation

    async def _answer_setup(self) -> None:
        faults = self.faults
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if faults.no_setup else faults.setup_delay):
                # Whoever speaks before the answer is in the wrong.
                self._read(await self._peer.recv())
                raise invalid()
        answer = faults.setup_error
        await self.send({"setupComplete": {}} if answer is None else dict(answer))

    def _read(self, frame: str | bytes) -> list[Input]:
        try:
            inputs = inputs_of(decode(frame))
        except Refusal:
            self._log("in", "invalid", size=len(frame), content=frame[:200])
            raise
        seconds = self.seconds
        for said in inputs:
            if isinstance(said, Audio):
                seconds += len(said.pcm) / 2 / said.rate
            self._log("in", seconds=seconds, **described(said, len(frame)))
        return inputs

    async def _take(self, conversation: Conversation, said: Input) -> None:
        hears = isinstance(said, Audio | AudioStreamEnd)
        take = functools.partial(conversation.take, said)
        async with self._turn:
            # A search in the programme would hold up the other connections.
            if hears and not conversation.ear.located:
                replies = await asyncio.to_thread(take)
            else:
                replies = take()
            for reply in replies:
                await self.send(reply)
        if conversation.generating:
            self._wake.set()
        if isinstance(said, Audio):
            await self._trigger(conversation.ear.seconds)

    async def _answer(self, conversation: Conversation) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while conversation.generating:
                await asyncio.sleep(conversation.script.part_delay)
                async with self._turn:
                    if conversation.generating:
                        for message in conversation.advance():
                            await self.send(message)

    async def _trigger(self, seconds: float) -> None:
        faults = self.faults
        if faults is not self._fired_of:
            self._fired_of = faults
            self._fired.clear()
        for name, action in self._triggers.items():
            after = getattr(faults, name)
            if after is not None and seconds >= after and name not in self._fired:
                self._fired.add(name)
                await action(faults)

    async def _expire(self) -> None:
        settings = self._server.settings
        if settings.session_limit is None:
            return
        before = min(settings.go_away_before, settings.session_limit)
        await asyncio.sleep(settings.session_limit - before)
        await self.go_away(
            before, code=settings.limit_code, reason=settings.limit_reason
        )

    async def _close_in(self, seconds: float, code: int, reason: str) -> None:
        await asyncio.sleep(seconds)
        raise Refusal(code, reason)

    async def _close(self, code: int, reason: str) -> None:
        self._log("out", "close", content=(code, reason))
        short = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
        await self._peer.close(code, short)

    async def _do(self, action: Callable[[], None]) -> None:
        action()

    async def _send_raw(self, text: str, kinds: list[tuple[str, Any]]) -> None:
        data = text.encode()
        if self._muted:
            kinds = [("withheld", kind) for kind, _ in kinds]
        for kind, content in kinds or [("invalid", text)]:
            self._log("out", kind, size=len(data), content=content)
        if not self._muted:
            await self._peer.send(text if self.faults.text_frames else data)

    def _log(self, direction: Direction, kind: str, **fields: Any) -> None:
        self._server.record(self.number, direction, kind, **fields)


_ERROR: Message = {
    "error": {
        "code": 503,
        "message": "The service is currently unavailable.",
        "status": "UNAVAILABLE",
    }
}


def _huge() -> Message:
    blob = {"mimeType": "audio/pcm;rate=24000", "data": "A" * _HUGE_BYTES}
    parts = [{"inlineData": blob}]
    return {"serverContent": {"modelTurn": {"role": "model", "parts": parts}}}
