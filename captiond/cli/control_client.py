"""The control channel from the other side: says lines, hears everything."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from yarl import URL

from captiond.cli.dialogue import (
    COMMANDS,
    CommandError,
    Dialogue,
    Request,
    is_question,
    parse_line,
)
from captiond.cli.messages import Received, Status, parse
from captiond.cli.whip_client import problem_detail
from captiond.config import is_loopback
from captiond.errors import CaptiondError

PACE = 0.025
"""Seconds between two requests out of a pipe; the daemon takes 50 a second."""


class TalkError(CaptiondError):
    """The session can't be talked to, or doesn't answer; says why."""


@contextlib.asynccontextmanager
async def channel(url: URL) -> AsyncIterator[ClientConnection]:
    """
    Open a control channel until the block ends.

    Args:
        url: ``ws://host:port/streams/STREAM/session`` and what is asked of it.

    Raises:
        TalkError: If that can't be done.

    """
    address = url.with_query(None)
    try:
        connection = await connect(
            str(url),
            # A proxy can't reach our loopback addresses.
            proxy=None if is_loopback(url.host or "") else True,
            max_size=1 << 20,
            open_timeout=10,
            close_timeout=2,
        )
    except InvalidStatus as exc:
        body = bytes(exc.response.body or b"").decode("utf-8", "replace")
        detail = problem_detail(body) or exc.response.reason_phrase
        status = exc.response.status_code
        raise TalkError(f"{address}: refused with {status}: {detail}") from exc
    except InvalidHandshake as exc:
        raise TalkError(f"{address}: not a control channel: {exc}") from exc
    except OSError as exc:
        raise TalkError(f"{address}: can't connect: {exc}") from exc
    async with connection:
        yield connection


class Talk:
    """
    One conversation over a control channel.

    Out of a pipe the next question waits for the answer to the one before, and the
    first thing that goes wrong ends it. In front of a person everything is said at
    once, and what goes wrong is told.

    Args:
        connection: The control channel.
        linger: Seconds that an answer may take once there is nothing more to say.
        show: Called with every message that comes.
        tell: Called with remarks for a person; None if there is nobody.

    """

    def __init__(
        self,
        connection: ClientConnection,
        *,
        linger: float,
        show: Callable[[Received], None],
        tell: Callable[[str], None] | None,
    ) -> None:
        self._connection = connection
        self._linger = linger
        self._show = show
        self._tell = tell
        self._dialogue = Dialogue()
        self._heard = asyncio.Event()
        """Set whenever a message has come."""
        self._leaving = False

    async def run(self, lines: AsyncIterator[str]) -> None:
        """
        Say lines and hear messages until either ends.

        Args:
            lines: Requests as :mod:`captiond.cli.dialogue` reads them.

        Raises:
            TalkError: If the connection is lost, or something that was said out of a
                pipe can't be done or isn't answered in time.
            MessageError: If the server doesn't speak the protocol.

        """
        try:
            async with asyncio.TaskGroup() as tasks:
                saying = tasks.create_task(self._say_all(lines))
                await self._hear()
                saying.cancel()
        except BaseExceptionGroup as group:
            raise _first(group) from None

    async def _hear(self) -> None:
        while True:
            try:
                raw = await self._connection.recv()
            except ConnectionClosed:
                if self._leaving:
                    return
                raise TalkError(_reason(self._connection)) from None
            received = parse(raw, at=time.monotonic())
            wrong = self._dialogue.hear(received.message)
            self._show(received)
            self._heard.set()
            if wrong is not None:
                self._complain(wrong)
            if (
                isinstance(received.message, Status)
                and received.message.state == "ended"
            ):
                if self._tell is None and not self._dialogue.settled:
                    raise TalkError("the stream ended before the answer")
                return

    async def _say_all(self, lines: AsyncIterator[str]) -> None:
        try:
            async for line in lines:
                if line.strip() == "/quit":
                    break
                await self._take(line.strip())
            else:
                await self._wait_for_the_end()
        except ConnectionClosed:
            return  # who hears tells why
        self._leaving = True
        await self._connection.close()

    async def _take(self, line: str) -> None:
        if line == "/help":
            for each in COMMANDS.splitlines():
                self._remark(each)
        elif line:
            try:
                await self._say(parse_line(line))
            except CommandError as exc:
                self._complain(str(exc))

    async def _say(self, request: Request) -> None:
        if self._tell is None:
            if is_question(request):
                await self._settle()
            await asyncio.sleep(PACE)
        await self._connection.send(self._dialogue.ask(request))

    async def _wait_for_the_end(self) -> None:
        if self._dialogue.begun or self._tell is not None:
            await self._settle()
        else:
            await asyncio.sleep(self._linger)

    async def _settle(self) -> None:
        """Wait until everything was answered."""
        try:
            async with asyncio.timeout(self._linger):
                while not self._dialogue.settled:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            self._complain(f"no answer within {self._linger:g} s (--linger)")

    def _complain(self, text: str) -> None:
        if self._tell is None:
            raise TalkError(text)
        self._tell(text)

    def _remark(self, text: str) -> None:
        if self._tell is not None:
            self._tell(text)


def _reason(connection: ClientConnection) -> str:
    if connection.close_code is None:
        return "the connection was lost"
    text = f"the daemon closed the connection with {connection.close_code}"
    return f"{text}: {connection.close_reason}" if connection.close_reason else text


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
