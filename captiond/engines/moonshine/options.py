"""Options of the local engine: the table ``[engines.moonshine]``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from captiond.config import Section


class MoonshineOptions(Section):
    """The local engine."""

    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    """Worker processes; 0 means cores - 1, at least 1."""
    worker_memory_bytes: Annotated[int, Field(ge=1 << 28)] = 1 << 31
    """Memory beyond which a worker is replaced; its audio is sent again."""
    interim_interval: Annotated[float, Field(ge=0.1, le=5)] = 0.3
    """Seconds of new audio between two interims while the machine keeps up."""
