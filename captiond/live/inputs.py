"""
What is said to the engine besides audio: pictures, texts, answers, interruptions.

No I/O. It waits here while no session takes it, and goes to whichever speaks; the one
picture that waits is the newest, and of the rest at most ``LIMIT`` wait.
"""

from __future__ import annotations

import collections
import dataclasses

from captiond.errors import ControlError
from captiond.live.session import TextPurpose, ToolResponse, VideoImage

LIMIT = 32
"""Inputs that may wait; one more is refused."""


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """A text for the engine."""

    text: str
    purpose: TextPurpose


@dataclasses.dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop what the engine is generating."""


Input = Text | Interrupt | ToolResponse | VideoImage


def capability_for(item: Input) -> str:
    """Return the name of the capability that an engine needs to take an input."""
    match item:
        case VideoImage():
            return "video"
        case ToolResponse():
            return "tools"
        case Interrupt():
            return "interrupt"
        case Text(purpose=TextPurpose.VOCABULARY):
            return "vocabulary"
        case Text():
            return "text"


class Inputs:
    """The inputs of one stream that wait."""

    def __init__(self) -> None:
        self._waiting: collections.deque[Input] = collections.deque()
        self._image: VideoImage | None = None

    def put(self, item: Input) -> bool:
        """
        Add an input; return whether it took the place of a picture that waited.

        Raises:
            ControlError: If too many wait.

        """
        if isinstance(item, VideoImage):
            replaced = self._image is not None
            self._image = item
            return replaced
        if len(self._waiting) >= LIMIT:
            raise ControlError(
                "busy", f"{LIMIT} inputs wait for the engine already", status=503
            )
        self._waiting.append(item)
        return False

    def put_back(self, item: Input) -> None:
        """Let an input that wasn't taken be the next one again."""
        if isinstance(item, VideoImage):
            self._image = self._image or item
        else:
            self._waiting.appendleft(item)

    def next(self) -> Input | None:
        """Return what is to be sent next, or None if nothing waits."""
        if self._waiting:
            return self._waiting.popleft()
        image, self._image = self._image, None
        return image

    def clear(self) -> int:
        """Forget everything; return how much that was."""
        count = len(self._waiting) + (self._image is not None)
        self._waiting.clear()
        self._image = None
        return count
