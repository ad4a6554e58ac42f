"""
Commands to a server in another process: one JSON object a line, one as the reply.

``{"do": "go_away", "left": 5}`` and the like; ``connection`` names one of the open
connections by number, without it all of them are meant. The reply is
``{"ok": true, …}`` or ``{"ok": false, "error": "…"}``.

=================================================  ====================================
``status``                                         open connections, counts of records
``log`` (``direction``, ``kind``, ``last``)        the last records, at most 1000
``faults`` (``set``)                               the server's faults from now on
``fault_next`` (``set``, ``connections``)          those of the next connections
``go_away`` (``left``, ``then``, ``code``, …)      announce the end, and keep it
``close`` (``code``, ``reason``)                   close
``abort``, ``mute``, ``stop_reading``              as :class:`Connection` has them
``send`` (``message``)                             say anything
``stop``                                           end the process
=================================================  ====================================
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.servers.gemini.connection import Connection
from tests.servers.gemini.faults import Faults
from tests.servers.gemini.server import GeminiServer

_RECORDS_MOST = 1000

Command = Mapping[str, Any]
Reply = dict[str, Any]


class Control:
    """Carries out commands; ``stopped`` tells whether one said stop."""

    def __init__(self, server: GeminiServer) -> None:
        self._server = server
        self.stopped = False
        self._commands: Mapping[str, Callable[[Command], Awaitable[Reply]]] = {
            "status": self._status,
            "log": self._log,
            "faults": self._faults,
            "fault_next": self._fault_next,
            "stop": self._stop,
        }

    async def carry_out(self, line: str | bytes) -> Reply:
        """Carry out one command and return the reply."""
        try:
            command = json.loads(line)
            name = command.pop("do")
            if name in self._commands:
                reply = await self._commands[name](command)
            else:
                reply = await self._misbehave(name, command)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            return {"ok": False, "error": f"{type(exc).__name__}: {exc}"}
        except (ConnectionClosed, RuntimeError) as exc:
            # The connection ended at this very moment.
            return {"ok": False, "error": f"{type(exc).__name__}: {exc}"}
        return {"ok": True, **reply}

    async def _status(self, _command: Command) -> Reply:
        records = self._server.log.records
        counts = collections.Counter(f"{r.direction} {r.kind}" for r in records)
        connections = [
            {"number": c.number, "seconds": round(c.seconds, 3)}
            for c in self._server.connections
        ]
        return {"connections": connections, "counts": dict(counts)}

    async def _log(self, command: Command) -> Reply:
        records = [
            dataclasses.asdict(record)
            for record in self._server.log.records
            if command.get("direction") in (None, record.direction)
            and command.get("kind") in (None, record.kind)
        ]
        last = min(int(command.get("last", _RECORDS_MOST)), _RECORDS_MOST)
        return {"records": records[-last:]}

    async def _faults(self, command: Command) -> Reply:
        self._server.faults = Faults(**command.get("set", {}))
        return {}

    async def _fault_next(self, command: Command) -> Reply:
        faults = Faults(**command.get("set", {}))
        self._server.fault_next(faults, connections=command.get("connections", 1))
        return {}

    async def _stop(self, _command: Command) -> Reply:
        self.stopped = True
        return {}

    async def _misbehave(self, name: str, command: Command) -> Reply:
        options = dict(command)
        wanted = options.pop("connection", None)
        connections = [
            c for c in self._server.connections if wanted in (None, c.number)
        ]
        for connection in connections:
            await _let(connection, name, options)
        return {"connections": [c.number for c in connections]}


async def _let(connection: Connection, name: str, options: dict[str, Any]) -> None:
    match name:
        case "go_away":
            await connection.go_away(**options)
        case "close":
            await connection.close(**options)
        case "send":
            await connection.send(options["message"])
        case "abort":
            connection.abort()
        case "mute":
            connection.mute()
        case "stop_reading":
            connection.stop_reading()
        case _:
            raise ValueError(f"unknown command {name!r}")
