"""
What the service's messages mean: steps of the transcript, and events of the session.

No I/O. A message may carry several things; they are taken in the order in which they
happened: the end of an utterance before the beginning of the next.
"""

from __future__ import annotations

import collections
import re

from google.genai import types

from captiond.engines.remote.transcript import (
    CURRENT,
    Offsets,
    ServiceWord,
    Transcript,
)
from captiond.live.session import (
    GoingAway,
    Interrupted,
    ModelText,
    Resumable,
    SessionEvent,
    ToolCall,
    ToolCallCancelled,
    TurnComplete,
    Usage,
)

MAX_CALLS = 256
"""Tool calls whose names are remembered until they are answered."""

DEFAULT_TIME_LEFT = 10.0
"""Seconds left when the service says that it ends the session, but not when."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)s")


class Messages:
    """
    Reads what one session's service says.

    Args:
        transcript: The session's account of audio and answers.
        agent: Whether the model converses. Then it transcribes in pieces that follow
            each other, and seldom says where an utterance ends.

    """

    def __init__(self, transcript: Transcript, *, agent: bool) -> None:
        self._transcript = transcript
        self._agent = agent
        self._calls: collections.OrderedDict[str, str] = collections.OrderedDict()
        """Names of the functions called, by id."""
        self._generating = False
        self._silenced = False
        """What the model still says in this turn is not wanted."""
        self._interrupted = False
        """New speech interrupted this turn: what is heard then is of the next."""
        self._heard = ""
        """The pieces of the open utterance."""
        self._heard_utterances = 0

    def take(self, message: types.LiveServerMessage, now: float) -> list[SessionEvent]:
        """Return what a message means."""
        events = self._transcript.alive(now)
        if message.voice_activity is not None:
            events += self._activity(message.voice_activity, now)
        if message.server_content is not None:
            events += self._content(message.server_content, now)
        if message.tool_call is not None:
            events += self._tool_calls(message.tool_call)
        if message.tool_call_cancellation is not None:
            for call in message.tool_call_cancellation.ids or ():
                if self._calls.pop(call, None) is not None:
                    events.append(ToolCallCancelled(call=call))
        if message.usage_metadata is not None:
            events += _usage(message.usage_metadata)
        update = message.session_resumption_update
        # While it can't be taken over, the state of the handle before still can.
        if update is not None and update.resumable and update.new_handle:
            events.append(Resumable(handle=update.new_handle))
        if message.go_away is not None:
            left = seconds(message.go_away.time_left)
            events.append(
                GoingAway(time_left=DEFAULT_TIME_LEFT if left is None else left)
            )
        return events

    def interrupt(self) -> list[SessionEvent]:
        """
        Want no more of what the model is saying.

        The service has no message for that. Text that it is sent makes it stop, but
        starts a new turn; so the rest of this turn is left out here.
        """
        if not self._generating or self._silenced:
            return []
        self._silenced = True
        return [Interrupted()]

    def answered(self, call: str) -> str | None:
        """Return the name of the function that a call was of, once; None if unknown."""
        return self._calls.pop(call, None)

    def _activity(
        self, activity: types.VoiceActivity, now: float
    ) -> list[SessionEvent]:
        offset = seconds(activity.audio_offset)
        match activity.voice_activity_type:
            case types.VoiceActivityType.ACTIVITY_START if offset is not None:
                return self._transcript.service_started(offset, now)
            case types.VoiceActivityType.ACTIVITY_END if offset is not None:
                return self._transcript.service_ended(offset, now)
            case types.VoiceActivityType.ACTIVITY_END:
                return self._transcript.complete(now)
            case _:
                return []

    def _content(
        self, content: types.LiveServerContent, now: float
    ) -> list[SessionEvent]:
        if self._agent:
            return self._turn(content, now)
        events: list[SessionEvent] = []
        final = content.input_transcription
        if final is not None and final.text:
            events += self._transcript.final(
                final.text,
                now,
                offsets=_offsets(final),
                language=final.language_code,
                words=_words(final),
            )
        interim = content.interim_input_transcription
        if interim is not None and interim.text:
            events += self._transcript.interim(
                interim.text,
                now,
                offsets=_offsets(interim),
                language=interim.language_code,
            )
        if content.generation_complete or content.turn_complete:
            events += self._transcript.complete(now)
        return events

    # A model that converses

    def _turn(self, content: types.LiveServerContent, now: float) -> list[SessionEvent]:
        events: list[SessionEvent] = []
        if content.input_transcription is not None:
            if content.input_transcription.text:
                events += self._piece(content.input_transcription.text, now)
            if content.input_transcription.finished:
                events += self._utterance_ends(now)
        events += self._model_text(content, now)
        if content.interrupted:
            # Somebody began to speak: what was heard until then is of before.
            events += self._utterance_ends(now)
            events += self._turn_ends(Interrupted())
            self._interrupted = True
        if content.turn_complete:
            if not self._interrupted:
                events += self._utterance_ends(now)
                events += self._turn_ends(TurnComplete())
            self._interrupted = False
        return events

    def _piece(self, text: str, now: float) -> list[SessionEvent]:
        if not self._transcript.open_text:
            self._heard = ""
            self._heard_utterances += 1
        self._heard += text
        return self._transcript.interim(self._heard, now, key=self._key)

    @property
    def _key(self) -> str:
        # Each piece is new: nothing that looks like a text before repeats it.
        return f"heard {self._heard_utterances}"

    def _utterance_ends(self, now: float) -> list[SessionEvent]:
        if not self._transcript.open_text:
            return []
        return self._transcript.final(self._heard, now, key=self._key)

    def _model_text(
        self, content: types.LiveServerContent, now: float
    ) -> list[SessionEvent]:
        pieces = _pieces(content)
        if not pieces and content.model_turn is None:
            return []
        if not self._generating:
            self._generating = True
            # It answers: what it answers to has ended.
            events = self._transcript.complete(now, key=CURRENT)
        else:
            events = []
        if not self._silenced:
            events += [ModelText(text=piece) for piece in pieces]
        return events

    def _turn_ends(self, end: Interrupted | TurnComplete) -> list[SessionEvent]:
        silenced, self._silenced, self._generating = self._silenced, False, False
        return [] if silenced else [end]

    def _tool_calls(self, call: types.LiveServerToolCall) -> list[SessionEvent]:
        events: list[SessionEvent] = []
        for function in call.function_calls or ():
            if not function.id or not function.name:
                continue
            self._calls[function.id] = function.name
            while len(self._calls) > MAX_CALLS:
                self._calls.popitem(last=False)
            events.append(
                ToolCall(
                    call=function.id, name=function.name, arguments=function.args or {}
                )
            )
        return events


def seconds(duration: str | None) -> float | None:
    """Return a duration such as ``9.5s`` in seconds; None if it is none."""
    match = _DURATION.fullmatch(duration or "")
    return float(match[1]) if match else None


def _offsets(transcription: types.Transcription) -> Offsets | None:
    start, end = seconds(transcription.start_offset), seconds(transcription.end_offset)
    return None if start is None and end is None else Offsets(start=start, end=end)


def _words(transcription: types.Transcription) -> list[ServiceWord]:
    found: list[ServiceWord] = []
    for word in transcription.words or ():
        start, end = seconds(word.start_offset), seconds(word.end_offset)
        if word.word and start is not None and end is not None:
            found.append(ServiceWord(text=word.word, start=start, end=end))
    return found


def _pieces(content: types.LiveServerContent) -> list[str]:
    pieces: list[str] = []
    if content.model_turn is not None:
        parts = content.model_turn.parts or ()
        pieces += [part.text for part in parts if part.text and not part.thought]
    if content.output_transcription is not None and content.output_transcription.text:
        pieces.append(content.output_transcription.text)
    return pieces


def _usage(usage: types.UsageMetadata) -> list[SessionEvent]:
    told = Usage(
        input_tokens=usage.prompt_token_count or 0,
        output_tokens=usage.response_token_count or 0,
    )
    return [told] if told != Usage() else []
