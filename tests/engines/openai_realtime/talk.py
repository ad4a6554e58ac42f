"""An exchange with a server that is played by the test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from captiond.engines.openai_realtime.dialects import Dialect
from captiond.engines.openai_realtime.dialects.openai import OpenAiDialect
from captiond.engines.openai_realtime.dialects.vllm import VllmDialect
from captiond.engines.openai_realtime.engine import exchange_setup
from captiond.engines.openai_realtime.exchange import Exchange
from captiond.engines.openai_realtime.options import OpenAiRealtimeOptions
from captiond.engines.openai_realtime.steps import Loss, ToSend
from captiond.engines.remote.outgoing import AudioMessage, Endpoint
from captiond.events import MediaTime
from captiond.live.session import (
    Hypothesis,
    SessionEvent,
    Settled,
    SpeechEnded,
    SpeechStarted,
)

ITEM = "conversation.item.input_audio_transcription"
NOISE = np.random.default_rng(3).normal(0, 3000, 1600).astype(np.int16).tobytes()


class Talk:
    """An exchange, what it sent, and what it told."""

    def __init__(self, **options: Any) -> None:
        configured = OpenAiRealtimeOptions(**options)
        dialect: Dialect = (
            VllmDialect(configured)
            if configured.dialect == "vllm"
            else OpenAiDialect(configured)
        )
        self.losses: list[Loss] = []
        self.exchange = Exchange(
            dialect,
            exchange_setup(configured),
            lost=lambda loss, _: self.losses.append(loss),
        )
        self.now = 100.0
        self.at = 0.0
        self.sent: list[Mapping[str, Any]] = []
        self.events: list[SessionEvent] = []

    def send(self, *steps: ToSend) -> None:
        for step in steps:
            out = self.exchange.send(step, self.now)
            self.sent += out.messages
            self.events += out.events

    def audio(self, seconds: float, *, loud: bool = True) -> None:
        """Send audio in tenths, as time goes on."""
        for _ in range(round(seconds * 10)):
            pcm = NOISE if loud else bytes(len(NOISE))
            self.send(AudioMessage(MediaTime(self.at), pcm))
            self.at = round(self.at + 0.1, 3)
            self.tick(0.1)

    def speak(self, seconds: float) -> None:
        """Say something, up to the end that the detector finds."""
        start = self.at
        self.audio(0.3)
        self.send(SpeechStarted(time=MediaTime(start)))
        self.audio(seconds - 0.3)
        end = self.at
        self.audio(0.5, loud=False)
        self.send(SpeechEnded(time=MediaTime(end)), Endpoint())

    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.events += self.exchange.tick(self.now)

    def hear(self, kind: str, item: str | None = None, **fields: Any) -> None:
        """Let the server say something."""
        message = {"type": kind, **fields}
        if item is not None:
            message["item_id"] = item
        self.events += self.exchange.receive(message, self.now)

    def commit(self, item: str, previous: str | None = None) -> None:
        kind = "input_audio_buffer.committed"
        self.hear(kind, item, previous_item_id=previous)

    def complete(self, item: str, text: str) -> None:
        self.hear(f"{ITEM}.completed", item, transcript=text)

    @property
    def types(self) -> list[str]:
        """Types of what was sent, without the audio."""
        kinds = [
            message["type"].removeprefix("input_audio_buffer.") for message in self.sent
        ]
        return [kind for kind in kinds if kind != "append"]

    @property
    def finals(self) -> list[Hypothesis]:
        return [e for e in self.events if isinstance(e, Hypothesis) and e.final]

    @property
    def texts(self) -> list[str]:
        return [final.text for final in self.finals]

    @property
    def settled(self) -> Settled:
        return [each for each in self.events if isinstance(each, Settled)][-1]
