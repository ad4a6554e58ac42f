"""What OpenAI's transcription models can do, told by their names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from captiond.engines.openai_realtime.options import OpenAiRealtimeOptions

MAX_KEYWORDS = 1000
MAX_PROMPT = 4000
"""Characters of a prompt that vocabulary is put into."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a model takes and tells."""

    streaming: bool
    """Tells words while they are spoken, and can't end utterances itself."""

    keywords: bool
    """Takes words to expect, and a list of languages in place of one."""

    prompt: bool
    """Takes a text about the speech."""

    @property
    def vocabulary(self) -> bool:
        """Whether it can be told words to expect, in one way or another."""
        return self.keywords or self.prompt


def model_of(name: str) -> Model:
    """Return what the model of a name can do; unknown ones are taken for simple."""
    streaming = name.startswith(("gpt-live-transcribe", "gpt-realtime-whisper"))
    return Model(
        streaming=streaming,
        keywords=name.startswith(("gpt-live-transcribe", "gpt-transcribe")),
        prompt=not name.startswith("gpt-realtime-whisper") and "diarize" not in name,
    )


def detects_turns(options: OpenAiRealtimeOptions) -> bool:
    """Whether the server ends utterances, with these options."""
    if options.turn_detection != "auto":
        return options.turn_detection == "server"
    return options.dialect == "openai" and not model_of(options.model).streaming


def transcription_of(
    options: OpenAiRealtimeOptions, vocabulary: Sequence[str]
) -> dict[str, Any]:
    """Return the settings of the transcription for a model of OpenAI."""
    model = model_of(options.model)
    words = keywords([*options.vocabulary, *vocabulary])
    settings: dict[str, Any] = {"model": options.model}
    if options.language:
        if model.keywords:
            settings["languages"] = [options.language]
        else:
            settings["language"] = options.language
    if options.delay and model.streaming:
        settings["delay"] = options.delay
    if words and model.keywords:
        settings["keywords"] = words
    prompt = options.prompt if model.keywords else with_words(options.prompt, words)
    if prompt and model.prompt:
        settings["prompt"] = prompt
    return settings


def keywords(words: Iterable[str]) -> list[str]:
    """Return the words once that a server takes: one that isn't spoils all of them."""
    usable = dict.fromkeys(" ".join(word.split()) for word in words)
    return [word for word in usable if word and not {"<", ">"} & set(word)][
        :MAX_KEYWORDS
    ]


def with_words(prompt: str, words: Sequence[str]) -> str:
    """Return a prompt with words to expect."""
    listed = ", ".join(words)
    return f"{prompt} {listed}".strip()[:MAX_PROMPT]
