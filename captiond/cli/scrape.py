"""Figures from the daemon's /metrics."""

from __future__ import annotations

import dataclasses

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from captiond.errors import CaptiondError


class ScrapeError(CaptiondError):
    """The metrics can't be read."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """CPU time since start, in seconds."""

    daemon: float
    workers: float

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(
            daemon=self.daemon - other.daemon, workers=self.workers - other.workers
        )

    @property
    def total(self) -> float:
        """Both together."""
        return self.daemon + self.workers


async def samples(admin: str) -> dict[str, float]:
    """
    Return each sample's value, summed over its labels.

    Args:
        admin: Base address of the admin listener.

    Raises:
        ScrapeError: If it doesn't answer with metrics.

    """
    url = f"{admin}/metrics"
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as http,
            http.get(url) as response,
        ):
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise ScrapeError(f"{url}: {exc!r}") from exc
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


async def cpu(admin: str) -> Cpu:
    """Return the CPU time that the daemon and its workers have used."""
    values = await samples(admin)
    return Cpu(
        daemon=values.get("process_cpu_seconds_total", 0.0),
        workers=values.get("captiond_worker_cpu_seconds_total", 0.0),
    )
