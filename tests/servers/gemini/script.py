"""What the model does with what it is told, where a test may choose."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """
    The model's part.

    An agent answers a question with :attr:`answer`, in parts of :attr:`part_words`. A
    question with :attr:`tool_keyword` makes it call a function that the client declared
    (the one whose name is in the question, else the first), and answer with what that
    gave. A question with :attr:`recall_keyword` makes it tell what it was told before.
    """

    misheard: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Words that interims have as others; the final revises them."""
    interim_every: float = 0.0
    """Seconds of audio from one interim to the next, at least."""

    answer: str = "You said: {question}."
    image_answer: str = "I have seen {images} images."
    """What is added once images have come; empty for nothing."""
    tool_keyword: str = "tool"
    tool_answer: str = "The tool says {response}."
    recall_keyword: str = "recall"
    recall_answer: str = "Before that you said: {before}."
    part_words: int = 2
    part_delay: float = 0.02
    """Seconds of the wall clock before each part of an answer."""
    answers_speech: bool = True
    """Whether an agent answers what it heard, too."""
