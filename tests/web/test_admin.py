"""Tests of the admin address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from captiond.metrics import STAGES, Metrics
from captiond.web.admin import AdminApi


class Served:
    """An admin address, and what it says of itself."""

    url = ""
    reason: str | None = None
    refreshed = 0

    def refresh(self) -> None:
        """Count calls."""
        self.refreshed += 1


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """Serve the admin routes."""
    found = Served()
    app = web.Application()
    AdminApi(
        Metrics(), refresh=found.refresh, not_ready=lambda: found.reason
    ).add_routes(app.router)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def get(url: str, accept: str = "*/*") -> tuple[int, str]:
    """Return status and body."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(url, headers={"Accept": accept}) as response,
    ):
        return response.status, await response.text()


async def test_metrics_parse_and_cover_the_path(served: Served) -> None:
    """A scrape is valid OpenMetrics, and every stage is there from the start."""
    _, body = await get(f"{served.url}/metrics", "application/openmetrics-text")
    parse: Any = text_string_to_metric_families  # has no types
    families = {each.name: each for each in parse(body)}
    stages = {
        sample.labels["stage"] for sample in families["captiond_stage_seconds"].samples
    }

    assert stages == set(STAGES)
    assert served.refreshed == 1
    assert not any(
        set(sample.labels) & {"stream", "subscriber", "user"}
        for family in families.values()
        for sample in family.samples
    )


async def test_readiness_tells_why_not(served: Served) -> None:
    """Health is about the process, readiness about publishers."""
    assert await get(f"{served.url}/healthz") == (200, "ok\n")
    assert await get(f"{served.url}/readyz") == (200, "ready\n")
    served.reason = "draining"
    assert await get(f"{served.url}/readyz") == (503, "draining\n")
