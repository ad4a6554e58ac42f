"""The API: what every stream is doing."""

from __future__ import annotations

import dataclasses
from typing import Any

from aiohttp import web

from captiond.egress.wire import format_wall
from captiond.errors import StreamNotFound
from captiond.hub.hub import Channel, Hub
from captiond.hub.log import check_name
from captiond.ingest.peer import Peer
from captiond.media.chunk import SAMPLE_RATE
from captiond.stream import Stream
from captiond.streams import Streams


class Api:
    """
    ``GET /api/streams`` and ``GET /api/streams/{stream}``.

    Args:
        hub: Knows the channels.
        streams: Knows what is published on them.

    """

    def __init__(self, hub: Hub, streams: Streams) -> None:
        self._hub = hub
        self._streams = streams

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/api/streams", self._list)
        router.add_get("/api/streams/{stream}", self._show)

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"streams": [self._summary(each) for each in self._hub.channels()]}
        )

    async def _show(self, request: web.Request) -> web.Response:
        name = check_name(request.match_info["stream"])
        channel = self._hub.get(name)
        stream = self._streams.get(name)
        if stream is not None and stream.channel is not channel:
            raise StreamNotFound(name)
        return web.json_response(self._summary(channel) | _details(stream))

    def _summary(self, channel: Channel) -> dict[str, Any]:
        stream = self._streams.get(channel.log.name)
        return {
            "name": channel.log.name,
            "state": channel.log.state.value,
            "epoch": channel.log.epoch,
            "seq": channel.log.seq,
            "subscribers": len(channel.subscribers),
            "media_seconds": round(stream.position, 3) if stream else 0.0,
            "lag_seconds": round(stream.lag, 3) if stream else 0.0,
        }


def _details(stream: Stream | None) -> dict[str, Any]:
    if stream is None:
        return {
            "engine": None,
            "capabilities": None,
            "publisher": None,
            "latency_seconds": {},
            "captions": {},
        }
    capabilities = stream.capabilities
    return {
        "engine": stream.engine or None,
        "capabilities": capabilities and dataclasses.asdict(capabilities),
        "publisher": _publisher(stream.publisher),
        "latency_seconds": stream.latencies.quantiles(),
        "captions": {"cues": stream.cues, "words": stream.words},
    }


def _publisher(peer: Peer | None) -> dict[str, Any] | None:
    if peer is None:
        return None
    described: dict[str, Any] = {
        "client": peer.client,
        "since": format_wall(peer.since),
        "codec": peer.offer.audio_codec.name,
        "video": peer.offer.has_video,
        "packets": None,
        "audio_seconds": None,
    }
    if peer.path is not None:
        audio = peer.path.stats
        described["packets"] = dataclasses.asdict(peer.path.packets.stats) | {
            "undecodable": audio.undecodable
        }
        described["audio_seconds"] = {
            "received": round(audio.decoded / SAMPLE_RATE, 3),
            "filled_lost": round(audio.filled_lost / SAMPLE_RATE, 3),
            "filled_pause": round(audio.filled_pause / SAMPLE_RATE, 3),
            "filled_no_packets": round(audio.filled_silence / SAMPLE_RATE, 3),
            "trimmed": round(audio.trimmed / SAMPLE_RATE, 3),
            "forgiven": round(audio.forgiven / SAMPLE_RATE, 3),
        }
    return described
