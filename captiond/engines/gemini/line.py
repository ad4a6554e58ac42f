"""
The line to the service: one task that owns the SDK's session.

It connects, reads, and ends all of that when it is cancelled, whatever the other side
does. What the SDK leaves out is done here: it doesn't look whether the setup was
accepted, and it waits for ever to close a connection that nobody reads from.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from google.genai import errors, types
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from captiond.engines.gemini.connection import fault_of, on_connection
from captiond.engines.remote.faults import Faults
from captiond.errors import EngineError
from captiond.logs import Logger

if TYPE_CHECKING:
    from google.genai.live import AsyncSession

Connection = AbstractAsyncContextManager["AsyncSession"]
"""What the SDK's ``connect`` returns."""

LAST_WORD = 1.0
"""Seconds that the service has to say why it didn't accept a setup."""

LEAVE_TIMEOUT = 3.0
"""Seconds that closing the connection may take before it is cut."""

MAX_UNREADABLE = 100
"""Messages in a row that can't be read before the line is given up."""


class Line:
    """
    One connection, from setup to its end.

    Args:
        connection: Connects when it is entered.
        faults: Tells the service's failures.
        log: The session's.
        on_accepted: Called when the service has accepted the setup, before any message.
        on_message: Called with every message.
        on_unreadable: Called for every message that the SDK can't read.
        on_failed: Called once with the error that ended an accepted connection.

    """

    def __init__(
        self,
        connection: Connection,
        *,
        faults: Faults,
        log: Logger,
        on_accepted: Callable[[], None],
        on_message: Callable[[types.LiveServerMessage], None],
        on_unreadable: Callable[[], None],
        on_failed: Callable[[EngineError], None],
    ) -> None:
        self._connection = connection
        self._faults = faults
        self._log = log
        self._on_accepted = on_accepted
        self._on_message = on_message
        self._on_unreadable = on_unreadable
        self._on_failed = on_failed
        self._live: AsyncSession | None = None
        self._leave = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None
        self._socket: ClientConnection | None = None
        self._severing: asyncio.TimerHandle | None = None

    @property
    def gone(self) -> bool:
        """Whether the connection is gone."""
        return self._owner is None or self._owner.done()

    async def open(self) -> None:
        """
        Connect; return when the service has accepted the setup.

        Raises:
            EngineError: If it hasn't.

        """
        accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own(accepted))
        await accepted

    @contextlib.asynccontextmanager
    async def speaking(self) -> AsyncIterator[AsyncSession]:
        """
        Give the SDK's session to a sender; one at a time.

        Raises:
            EngineError: If it can't be sent to any more.

        """
        if self._live is None:
            raise EngineError("closed", "the session was closed", retryable=False)
        try:
            yield self._live
        except (WebSocketException, OSError) as exc:
            error = fault_of(self._faults, exc)
            self._on_failed(error)
            raise error from None

    async def leave(self) -> None:
        """Close the connection; return when it is gone."""
        self._leave.set()
        if self._is_stuck():
            self.cut()
        await self.wait_gone()

    def cut(self) -> None:
        """End the connection without waiting for anything."""
        if self._owner is None or self._owner.done():
            return
        self._owner.cancel()
        if self._is_stuck():
            self._sever()
        elif self._severing is None:
            loop = asyncio.get_running_loop()
            self._severing = loop.call_later(LEAVE_TIMEOUT, self._sever)

    async def wait_gone(self) -> None:
        """Wait until the connection is gone; it is severed if that takes long."""
        if self._owner is None:
            return
        done, _ = await asyncio.wait((self._owner,), timeout=LEAVE_TIMEOUT)
        if not done:
            self._owner.cancel()
            self._sever()
            await asyncio.wait((self._owner,))

    def _is_stuck(self) -> bool:
        """Whether what was sent isn't taken, so that a good-bye wouldn't be either."""
        transport = getattr(self._socket, "transport", None)
        return transport is not None and transport.get_write_buffer_size() > 0

    def _sever(self) -> None:
        # There is no transport before the TCP connection stands.
        transport = getattr(self._socket, "transport", None)
        if transport is not None:
            transport.abort()

    def _keep(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def _own(self, accepted: asyncio.Future[None]) -> None:
        on_connection.set(self._keep)
        try:
            async with self._connection as live:
                await self._check_setup(live)
                self._live = live
                if not accepted.done():
                    self._on_accepted()
                    accepted.set_result(None)
                await self._read_until_left(live)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it ended the session
            self._failed(exc, accepted)
        finally:
            self._live = None
            self._sever()
            if self._severing is not None:
                self._severing.cancel()
            if not accepted.done():
                accepted.set_exception(
                    EngineError("stopped", "the engine was stopped", retryable=False)
                )

    def _failed(self, exc: Exception, accepted: asyncio.Future[None]) -> None:
        error = fault_of(self._faults, exc)
        if error.code == "protocol" and not isinstance(exc, EngineError):
            self._log.error("the session broke", exc_info=exc)
        if accepted.done():
            if error.code == "refused":
                # Its setup was good: what it refused may be of this session only.
                error = EngineError(error.code, error.reason, retryable=True)
            self._on_failed(error)
        else:
            accepted.set_exception(error)

    async def _check_setup(self, live: AsyncSession) -> None:
        """
        Return if the service accepted the setup.

        Raises:
            EngineError: If it answered something else.
            APIError: If it closed, and said why.

        """
        if live.setup_complete is not None:
            return
        with contextlib.suppress(TimeoutError, TypeError, ValueError):
            async with asyncio.timeout(LAST_WORD):
                async for _ in live.receive():
                    pass
        raise self._faults.error(
            "refused",
            "Gemini answered the setup by an error that it didn't explain; check the "
            "engine's options and the service's status page",
            retryable=True,
        )

    async def _read_until_left(self, live: AsyncSession) -> None:
        reader = asyncio.create_task(self._read(live))
        leaver = asyncio.create_task(self._leave.wait())
        try:
            await asyncio.wait((reader, leaver), return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                await reader
        finally:
            reader.cancel()
            leaver.cancel()
            await asyncio.gather(reader, leaver, return_exceptions=True)

    async def _read(self, live: AsyncSession) -> None:
        unreadable = 0
        messages = live.receive()
        while True:
            try:
                message = await anext(messages, None)
            except errors.APIError:
                raise
            except (TypeError, ValueError) as exc:
                # The SDK's way to say that a message is new to it, or not JSON.
                unreadable += 1
                self._skip(exc, unreadable)
                messages = live.receive()
                continue
            if message is None:
                messages = live.receive()  # its iterator ends with each turn
                continue
            unreadable = 0
            self._on_message(message)

    def _skip(self, exc: Exception, count: int) -> None:
        if count >= MAX_UNREADABLE:
            raise self._faults.error(
                "protocol",
                f"Gemini says nothing that the SDK can read: {exc}",
                retryable=True,
            ) from None
        self._on_unreadable()
