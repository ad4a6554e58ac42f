"""What a remote service may do to a session: one fault of each kind."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from tests.servers.gemini import CANCELLED, DEADLINE, QUOTA
from tests.servers.gemini.process import GeminiProcess


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """One fault, and what it may cost."""

    name: str
    do: Callable[[GeminiProcess], Awaitable[None]]
    allowed: int
    """Words that may be lost, and words that may be doubled."""


def _command(name: str, **options: Any) -> Callable[[GeminiProcess], Awaitable[None]]:
    async def do(server: GeminiProcess) -> None:
        await server.command(name, **options)

    return do


def _for_a_while(seconds: float, **faults: Any) -> Callable[..., Awaitable[None]]:
    async def do(server: GeminiProcess) -> None:
        await server.command("faults", set=faults)
        await asyncio.sleep(seconds)
        await server.command("faults", set={})

    return do


def _reset_then(**faults: Any) -> Callable[..., Awaitable[None]]:
    """Reset the connection, and let the next one go wrong."""

    async def do(server: GeminiProcess) -> None:
        await server.command("fault_next", set=faults)
        await server.command("abort")

    return do


ERROR = {"error": {"code": 500, "message": "Internal error encountered."}}

ALL = (
    Disturbance(name="go-away, then 1011", do=_command("go_away", left=5.0), allowed=0),
    Disturbance(
        name="go-away, then silence",
        do=_command("go_away", left=5.0, then="silence"),
        allowed=0,
    ),
    Disturbance(
        name="closed with 1011",
        do=_command("close", code=1011, reason=DEADLINE),
        allowed=1,
    ),
    Disturbance(
        name="closed with 1000",
        do=_command("close", code=1000, reason=CANCELLED),
        allowed=1,
    ),
    Disturbance(
        name="closed for quota",
        do=_command("close", code=1011, reason=QUOTA),
        allowed=1,
    ),
    Disturbance(name="TCP reset", do=_command("abort"), allowed=1),
    Disturbance(name="stops reading", do=_command("stop_reading"), allowed=1),
    Disturbance(name="reads, says nothing", do=_command("mute"), allowed=1),
    Disturbance(
        name="reset, then HTTP 503", do=_reset_then(http_status=503), allowed=1
    ),
    Disturbance(
        name="reset, then no setup answer", do=_reset_then(no_setup=True), allowed=1
    ),
    Disturbance(
        name="reset, then error as first message",
        do=_reset_then(setup_error=ERROR),
        allowed=1,
    ),
    Disturbance(
        name="unknown message", do=_command("send", message={"hello": {}}), allowed=0
    ),
    Disturbance(name="error message", do=_command("send", message=ERROR), allowed=1),
    Disturbance(
        name="message over 1 MiB",
        do=_command(
            "send",
            message={
                "serverContent": {"modelTurn": {"parts": [{"text": "x" * 1_100_000}]}}
            },
        ),
        allowed=1,
    ),
    Disturbance(
        name="finals missing for 15 s",
        do=_for_a_while(15.0, unfinalised="silent"),
        allowed=1,
    ),
    Disturbance(
        name="finals twice for 15 s",
        do=_for_a_while(15.0, duplicate_final_after=1.0),
        allowed=0,
    ),
    Disturbance(
        name="final and interim joined, 15 s",
        do=_for_a_while(15.0, joined_final=True),
        allowed=0,
    ),
    Disturbance(
        name="text frames, 15 s", do=_for_a_while(15.0, text_frames=True), allowed=0
    ),
)
"""In the order in which the benchmark brings them about."""
