"""
The dialects of the protocol: messages to send, and what received ones say.

No I/O. A dialect belongs to one session, and may have state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from captiond.engines.openai_realtime.dialects.said import Said

Message = Mapping[str, Any]
"""One event of the protocol, to be sent as a JSON object."""


class Malformed(Exception):
    """A message that can't be understood; the session goes on."""


class Dialect(Protocol):
    """How a kind of server is spoken to."""

    @property
    def rate(self) -> int:
        """Samples per second of the PCM that it takes."""

    @property
    def query(self) -> Mapping[str, str]:
        """Parameters of the address."""

    @property
    def acknowledges(self) -> bool:
        """Whether it says :class:`~.said.Updated` when it is configured."""

    @property
    def ready(self) -> bool:
        """Whether it takes audio now; if not, it does after the next transcript."""

    def configure(self, vocabulary: Sequence[str]) -> list[Message]:
        """Return what sets the session up, or changes the words to expect."""

    def audio(self, pcm: bytes) -> list[Message]:
        """Return what sends audio, at the dialect's rate."""

    def commit(self, name: str) -> list[Message]:
        """Return what ends the utterance; complaints about it carry the name."""

    def clear(self) -> list[Message] | None:
        """Return what makes the server forget the buffer; None if nothing does."""

    def decode(self, message: Mapping[str, Any]) -> list[Said]:
        """
        Return what a message says; nothing if it is of no interest.

        Raises:
            Malformed: If it can't be understood.

        """
