"""
The profile of the conversational models.

What was said comes as deltas with a leading space; the answer in parts, each from
:meth:`Agent.advance`; then generationComplete, and turnComplete with the usage. New
input while it generates interrupts it: ``interrupted``, then turnComplete, and never
generationComplete (as the SDK documents).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

from tests.servers.ear import Ended, HearingEvent, Started, Words
from tests.servers.gemini.conversation import Conversation
from tests.servers.gemini.inputs import (
    ClientContent,
    ContextUpdate,
    Text,
    ToolResponse,
    Unspoken,
    Video,
)
from tests.servers.gemini.script import Script
from tests.servers.gemini.setup import Setup
from tests.servers.gemini.wire import Message, content
from tests.servers.programme import Programme

_OUTPUT_RATE = 24_000
_VOICE = base64.b64encode(bytes(_OUTPUT_RATE // 10 * 2)).decode()
"""A tenth of a second of the model's speech, which is silent."""


class Agent(Conversation):
    """Answers, calls functions, and can be interrupted."""

    def __init__(self, setup: Setup, programme: Programme, script: Script) -> None:
        super().__init__(setup, programme, script)
        self._spoken: list[str] = []
        self._images = 0
        self._answering = False
        self._parts: list[str] = []
        self._said: list[str] = []
        self._call: str | None = None
        self._calls = 0

    @property
    def generating(self) -> bool:
        return self._answering and self._call is None

    def advance(self) -> list[Message]:
        if not self._parts:
            return self._complete()
        part = self._parts.pop(0)
        self._said.append(part)
        if self.setup.modality == "TEXT":
            return [_turn({"text": part})]
        voice = {"mimeType": f"audio/pcm;rate={_OUTPUT_RATE}", "data": _VOICE}
        messages = [_turn({"inlineData": voice})]
        if self.setup.transcribes_output:
            messages.append(content(outputTranscription={"text": part}))
        return messages

    def _hear(self, events: Iterable[HearingEvent]) -> list[Message]:
        messages: list[Message] = []
        for event in events:
            match event:
                case Started():
                    if self.setup.interrupts:
                        messages += self._interrupt()
                    messages += self._resumable(False)
                case Words(words):
                    self._spoken += [word.text for word in words]
                    if self.setup.transcribes:
                        messages += [_heard(word.text) for word in words]
                case Ended():
                    messages += self._answer_speech()
        return messages

    def _take_unspoken(self, said: Unspoken) -> list[Message]:
        match said:
            case Text(text):
                return self._interrupt() + self._ask(text)
            case ClientContent(turns, complete):
                messages = self._interrupt()
                if not complete:
                    self.history += turns
                    return messages
                self.history += turns[:-1]
                return messages + self._ask(turns[-1][1] if turns else "")
            case Video():
                self._images += 1
            case ToolResponse(responses):
                if self._call is not None and self._call in responses:
                    response = json.dumps(responses[self._call])
                    self._call = None
                    self._say(self.script.tool_answer.format(response=response))
            case ContextUpdate():
                pass
        return []

    def _answer_speech(self) -> list[Message]:
        question, self._spoken = " ".join(self._spoken), []
        if not question:
            return self._resumable(True)
        if not self.script.answers_speech:
            self.history.append(("user", question))
            return self._resumable(True)
        # Without interruption the answer before is still under way.
        return self._interrupt() + self._ask(question)

    def _ask(self, question: str) -> list[Message]:
        before = "; ".join(text for role, text in self.history if role == "user")
        self.history.append(("user", question))
        self._answering = True
        if self.script.tool_keyword in question and self.setup.tools:
            return [self._call_function(question)]
        if self.script.recall_keyword in question:
            self._say(self.script.recall_answer.format(before=before))
        else:
            self._say(self.script.answer.format(question=question))
        if self._images and self.script.image_answer:
            self._say(self.script.image_answer.format(images=self._images))
        return []

    def _call_function(self, question: str) -> Message:
        tools = self.setup.tools
        name = next((name for name in tools if name in question), tools[0])
        self._calls += 1
        self._call = f"call-{self._calls}"
        call: dict[str, Any] = {
            "id": self._call,
            "name": name,
            "args": {"question": question},
        }
        return {"toolCall": {"functionCalls": [call]}}

    def _say(self, text: str) -> None:
        words = text.split(" ")
        step = self.script.part_words
        for start in range(0, len(words), step):
            space = " " if self._parts or self._said else ""
            self._parts.append(space + " ".join(words[start : start + step]))

    def _complete(self) -> list[Message]:
        return [content(generationComplete=True), *self._end_turn()]

    def _interrupt(self) -> list[Message]:
        if not self._answering:
            return []
        messages: list[Message] = []
        if self._call is not None:
            messages.append({"toolCallCancellation": {"ids": [self._call]}})
        messages.append(content(interrupted=True))
        return messages + self._end_turn()

    def _end_turn(self) -> list[Message]:
        answer = "".join(self._said)
        self.history.append(("model", answer))
        self._answering, self._call = False, None
        self._parts, self._said = [], []
        prompt = round(self.ear.seconds * 25) + sum(
            len(text.split()) for _, text in self.history
        )
        response = len(answer.split())
        usage = {
            "promptTokenCount": prompt,
            "responseTokenCount": response,
            "totalTokenCount": prompt + response,
        }
        complete = content(turnComplete=True)
        return [{**complete, "usageMetadata": usage}, *self._resumable(True)]


def _turn(part: Message) -> Message:
    return content(modelTurn={"role": "model", "parts": [part]})


def _heard(word: str) -> Message:
    return content(inputTranscription={"text": f" {word}"})
