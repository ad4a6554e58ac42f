"""
WHIP (RFC 9725): how publishers are taken in over HTTP.

``POST /whip/{stream}`` makes a session; ``PATCH`` and ``DELETE`` go to the session's
own URL.
"""

from __future__ import annotations

import asyncio
import collections
from typing import Protocol

from aiohttp import web

from captiond.config import Config
from captiond.errors import OfferError, PublisherError, Unavailable
from captiond.hub.log import check_name
from captiond.ingest.fragment import parse_fragment
from captiond.ingest.offer import Offer, parse_offer
from captiond.ingest.peer import Peer

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"

BODY_TIMEOUT = 10.0
"""Seconds that a request's body may take."""

TOMBSTONES = 1000
"""Ended sessions that are remembered: OBS deletes its session after closing it, and
expects 200."""


class Publishing(Protocol):
    """What runs the publishers."""

    def admit(self, stream: str) -> None:
        """
        Check that a publisher may come.

        Raises:
            Unavailable: If there is no room.

        """

    def new_peer(self, stream: str, offer: Offer, client: str) -> Peer:
        """Make a publisher."""

    def run_peer(self, peer: Peer) -> None:
        """Run it until it ends."""


class WhipEndpoint:
    """
    The WHIP routes.

    Args:
        config: Bounds.
        publishing: What runs the publishers.

    """

    def __init__(self, config: Config, publishing: Publishing) -> None:
        self._config = config
        self._publishing = publishing
        self._sessions: dict[str, Peer] = {}
        self._tombstones: collections.OrderedDict[str, str] = collections.OrderedDict()
        """Stream by session id, oldest first."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the endpoint and its session resources."""
        endpoint = router.add_resource("/whip/{stream}")
        endpoint.add_route("POST", self._post)
        endpoint.add_route("OPTIONS", self._options_endpoint)
        endpoint.add_route("GET", self._get)
        endpoint.add_route("HEAD", self._get)
        session = router.add_resource("/whip/{stream}/{session}")
        session.add_route("PATCH", self._patch)
        session.add_route("DELETE", self._delete)
        session.add_route("OPTIONS", self._options_session)
        session.add_route("GET", self._get)
        session.add_route("HEAD", self._get)

    def forget(self, peer: Peer) -> None:
        """Bury a session that ended."""
        if self._sessions.pop(peer.id, None) is not None:
            self._tombstones[peer.id] = peer.stream
            while len(self._tombstones) > TOMBSTONES:
                self._tombstones.popitem(last=False)

    async def _post(self, request: web.Request) -> web.Response:
        stream = check_name(request.match_info["stream"])
        self._admit(stream)
        offer = parse_offer(await _read(request, SDP))
        # Again: the body may have taken its time.
        self._admit(stream)
        client = request.headers.get("User-Agent", "")[:80]
        peer = self._publishing.new_peer(stream, offer, client)
        self._sessions[peer.id] = peer
        try:
            answer = await peer.answer()
        except BaseException:
            del self._sessions[peer.id]
            raise
        self._publishing.run_peer(peer)
        return web.Response(
            status=201,
            body=answer.encode(),
            headers={
                "Content-Type": SDP,
                # A path without a query: OBS mangles relative URLs that have one.
                "Location": f"/whip/{stream}/{peer.id}",
                "ETag": f'"{peer.etag}"',
            },
        )

    def _admit(self, stream: str) -> None:
        self._publishing.admit(stream)
        if len(self._sessions) >= 2 * self._config.limits.streams:
            raise Unavailable("too many publishers are connecting", retry_after=5)

    async def _patch(self, request: web.Request) -> web.Response:
        peer = self._session(request)
        text = await _read(request, FRAGMENT)
        # RFC 9725 section 4.3.1: trickling is conditional on the ICE session's tag.
        condition = request.headers.get("If-Match")
        if condition is None:
            raise PublisherError("PATCH needs If-Match with the ETag", status=428)
        tags = {tag.strip().strip('"') for tag in condition.split(",")}
        if not tags & {peer.etag, "*"}:
            raise PublisherError("If-Match names another ICE session", status=412)
        fragment = parse_fragment(text, peer.offer)
        try:
            await peer.add_candidates(fragment)
        except ValueError as exc:
            raise OfferError(f"a candidate can't be used: {exc}") from exc
        return web.Response(status=204)

    async def _delete(self, request: web.Request) -> web.Response:
        stream, session = request.match_info["stream"], request.match_info["session"]
        if self._tombstones.get(session) != stream:
            self._session(request).end("deleted by the publisher")
        return web.Response(status=200)

    async def _get(self, request: web.Request) -> web.Response:
        # RFC 9725 section 4.1: reserved; answered with success and nothing.
        if "session" in request.match_info:
            self._session(request)
        else:
            check_name(request.match_info["stream"])
        return web.Response(status=204)

    async def _options_endpoint(self, request: web.Request) -> web.Response:
        return web.Response(
            headers={"Accept-Post": SDP, "Allow": "POST, OPTIONS, GET, HEAD"}
        )

    async def _options_session(self, request: web.Request) -> web.Response:
        return web.Response(
            headers={
                "Accept-Patch": FRAGMENT,
                "Allow": "PATCH, DELETE, OPTIONS, GET, HEAD",
            }
        )

    def _session(self, request: web.Request) -> Peer:
        peer = self._sessions.get(request.match_info["session"])
        if peer is None or peer.stream != request.match_info["stream"]:
            raise PublisherError("no such session", status=404)
        return peer


async def _read(request: web.Request, content_type: str) -> str:
    if request.content_type != content_type:
        raise PublisherError(
            f"Content-Type must be {content_type}, not '{request.content_type[:80]}'",
            status=415,
        )
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            body = await request.read()
        return body.decode()
    except TimeoutError as exc:
        raise PublisherError(
            f"the body took longer than {BODY_TIMEOUT:g} s", status=408
        ) from exc
    except UnicodeDecodeError as exc:
        raise PublisherError(f"the body is not UTF-8: {exc.reason}") from exc
