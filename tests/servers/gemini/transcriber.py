"""
The profile of ``gemini-3.5-transcribe-live``.

Echoes of the voice activity, interims that replace each other, one final for each
utterance, generationComplete; never turnComplete. An utterance without words is the
echoes only.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.servers.ear import Ended, HearingEvent, Started, Words
from tests.servers.gemini.conversation import Conversation
from tests.servers.gemini.inputs import Unspoken
from tests.servers.gemini.script import Script
from tests.servers.gemini.setup import Setup
from tests.servers.gemini.wire import Message, activity, content, invalid
from tests.servers.programme import Programme
from tests.servers.recogniser import HeardWord


class Transcriber(Conversation):
    """Writes down what it hears."""

    def __init__(self, setup: Setup, programme: Programme, script: Script) -> None:
        super().__init__(setup, programme, script)
        self._words: list[HeardWord] = []
        self._interim_at = -1.0
        self._late: list[tuple[float, Message]] = []

    def _hear(self, events: Iterable[HearingEvent]) -> list[Message]:
        messages = self._overdue()
        for event in events:
            match event:
                case Started(at):
                    messages.append(activity("START", at))
                    messages += self._resumable(False)
                case Words(words):
                    self._words += words
                    messages += self._interim()
                case Ended(at):
                    messages.append(activity("END", at))
                    messages += self._end()
        return messages

    def _take_unspoken(self, said: Unspoken) -> list[Message]:
        raise invalid()

    def _overdue(self) -> list[Message]:
        now = self.ear.seconds
        due = [message for at, message in self._late if at <= now]
        self._late = [late for late in self._late if late[0] > now]
        return due

    def _interim(self) -> list[Message]:
        now = self.ear.seconds
        soon = self._interim_at >= 0 and now < self._interim_at
        if soon or not self.setup.transcribes:
            return []
        self._interim_at = now + self.script.interim_every
        return [content(interimInputTranscription={"text": self._guess(self._words)})]

    def _guess(self, words: Iterable[HeardWord]) -> str:
        misheard = self.script.misheard
        return " ".join(misheard.get(word.text, word.text) for word in words)

    def _end(self) -> list[Message]:
        words, self._words = self._words, []
        self._interim_at = -1.0
        faults = self.faults()
        messages: list[Message] = []
        if words and self.setup.transcribes and faults.unfinalised != "silent":
            if faults.unfinalised == "no":
                messages += self._finals(words)
            messages.append(content(generationComplete=True))
        self.history.append(("user", " ".join(word.text for word in words)))
        return messages + self._resumable(True)

    def _finals(self, words: list[HeardWord]) -> list[Message]:
        faults = self.faults()
        if faults.joined_final and len(words) > 1:
            joined = _final(words[:-1])
            joined["serverContent"]["interimInputTranscription"] = {
                "text": self._guess(words[-1:])
            }
            finals = [joined, _final(words[-1:])]
        else:
            finals = [_final(words)]
        if faults.duplicate_final_after is not None:
            due = self.ear.seconds + faults.duplicate_final_after
            self._late += [(due, _final(words))]
        return finals


def _final(words: list[HeardWord]) -> Message:
    text = " ".join(word.text for word in words)
    return content(inputTranscription={"text": f"{text[:1].upper()}{text[1:]}."})
