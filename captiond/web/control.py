"""
Control over HTTP: one POST for each thing that a controller may ask of a stream.

The bodies are the requests of the control channel without their ``type`` and ``id``.
"""

from __future__ import annotations

import asyncio
import functools

from aiohttp import web

from captiond.config import Config
from captiond.egress import requests
from captiond.egress.control import Control
from captiond.egress.origin import check_origin
from captiond.errors import ControlError
from captiond.hub.hub import Hub
from captiond.hub.log import check_name

BODY_TIMEOUT = 10.0
"""Seconds that a request's body may take."""

JSON = "application/json"


class ControlApi:
    """
    ``POST /api/streams/{stream}/text`` and so on.

    Args:
        config: Where the server listens.
        hub: Knows the streams.
        control: What requests go to.

    """

    def __init__(self, config: Config, hub: Hub, control: Control) -> None:
        self._config = config
        self._hub = hub
        self._control = control

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        for kind in requests.TYPES:
            router.add_post(
                f"/api/streams/{{stream}}/{kind}", functools.partial(self._ask, kind)
            )

    async def _ask(self, kind: str, request: web.Request) -> web.Response:
        check_origin(
            request.headers.getall("Origin", ()),
            request.headers.getall("Host", ()),
            listens_on=self._config.http.host,
        )
        stream = check_name(request.match_info["stream"])
        self._hub.get(stream)
        body = await _read(request)
        try:
            # A request that needs no keys needs no body.
            document = requests.decode(body or b"{}")
        except ControlError as exc:
            self._control.count(kind, exc.code)
            raise
        flush = self._control.ask(stream, kind, document)
        if flush is None:
            return web.json_response({"accepted": True}, status=202)
        return web.json_response({"done": await flush})


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            body = await request.read()
    except TimeoutError:
        raise ControlError(
            requests.BAD, f"the body took longer than {BODY_TIMEOUT:g} s", status=408
        ) from None
    if body and request.content_type != JSON:
        raise ControlError(
            requests.BAD,
            f"Content-Type must be {JSON}, not '{request.content_type[:80]}'",
            status=415,
        )
    return body
