"""Handles with which a later connection goes on with a conversation."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from tests.servers.gemini.wire import Refusal, invalid

History = tuple[tuple[str, str], ...]
"""Turns, as role and text."""

_MOST = 10_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Saved:
    connection: int
    model: str
    history: History


class Handles:
    """The handles that were given out; beyond 10,000 the oldest are forgotten."""

    def __init__(self) -> None:
        self._saved: dict[str, _Saved] = {}
        self._given = 0

    def give(self, *, connection: int, model: str, history: History) -> str:
        """Save a conversation and return its handle."""
        self._given += 1
        handle = f"handle-{connection}-{self._given}"
        self._saved[handle] = _Saved(
            connection=connection, model=model, history=history
        )
        if len(self._saved) > _MOST:
            del self._saved[next(iter(self._saved))]
        return handle

    def resume(
        self, handle: str, *, model: str, still_open: Collection[int]
    ) -> History:
        """
        Return what was said until then.

        Raises:
            Refusal: If the handle is unknown, or its connection is still open.

        """
        saved = self._saved.get(handle)
        if saved is None or saved.model != model:
            raise invalid()
        if saved.connection in still_open:
            raise Refusal(1011, "Internal error encountered.")
        return saved.history
