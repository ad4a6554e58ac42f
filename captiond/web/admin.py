"""The admin address: metrics and health."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from captiond.metrics import Metrics

Check = Callable[[], str | None]
"""Returns why the daemon isn't ready, or None."""


class AdminApi:
    """
    ``/metrics``, ``/healthz`` and ``/readyz``.

    Args:
        metrics: What is exported.
        refresh: Brings gauges that are read off up to date.
        not_ready: Tells why the daemon takes no publisher now, or None.

    """

    def __init__(
        self, metrics: Metrics, *, refresh: Callable[[], None], not_ready: Check
    ) -> None:
        self._metrics = metrics
        self._refresh = refresh
        self._not_ready = not_ready

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get("/metrics", self._show_metrics)
        router.add_get("/healthz", self._healthz)
        router.add_get("/readyz", self._readyz)

    async def _show_metrics(self, request: web.Request) -> web.Response:
        self._refresh()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(
            body=encode(self._metrics.registry), headers={"Content-Type": content_type}
        )

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        reason = self._not_ready()
        if reason is None:
            return web.Response(text="ready\n")
        return web.Response(status=503, text=f"{reason}\n")
