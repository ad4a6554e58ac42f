"""What the service's messages mean."""

from __future__ import annotations

from typing import Any

import pytest
from google.genai import types

from captiond.engines.gemini.messages import Messages, seconds
from captiond.engines.remote.transcript import Transcript
from captiond.events import MediaTime
from captiond.live.session import (
    GoingAway,
    Hypothesis,
    Interrupted,
    ModelText,
    Resumable,
    SessionEvent,
    Settled,
    ToolCall,
    ToolCallCancelled,
    TurnComplete,
    Usage,
)


class Service:
    """Messages about 10 seconds of audio, of which 1 to 9 are speech."""

    def __init__(self, *, agent: bool = False) -> None:
        self.transcript = Transcript()
        self.messages = Messages(self.transcript, agent=agent)
        self.transcript.audio(MediaTime(100.0), 1.3, 50.0)
        self.transcript.speech_started(MediaTime(101.0), 50.0)
        self.transcript.audio(MediaTime(101.3), 8.7, 50.0)
        self.now = 51.0

    def say(self, **fields: Any) -> list[SessionEvent]:
        message = types.LiveServerMessage.model_validate(fields)
        events = self.messages.take(message, self.now)
        return [event for event in events if not isinstance(event, Settled)]

    def content(self, **fields: Any) -> list[SessionEvent]:
        return self.say(server_content=fields)


def told(events: list[SessionEvent]) -> list[tuple[str, bool, str]]:
    return [
        (each.utterance, each.final, each.text)
        for each in events
        if isinstance(each, Hypothesis)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9.5s", 9.5),
        ("0s", 0.0),
        ("4.123456789s", 4.123456789),
        *((odd, None) for odd in ("-1s", "9", "", None, "9.5m", "nans")),
    ],
)
def test_durations(text: str | None, expected: float | None) -> None:
    """They are text, in seconds, and may be anything."""
    assert seconds(text) == expected


def test_final_and_interim_in_one_message() -> None:
    """The end of an utterance comes before the beginning of the next."""
    service = Service()
    service.content(interim_input_transcription={"text": "it was"})
    events = service.content(
        input_transcription={"text": "It was.", "language_code": "en-GB"},
        interim_input_transcription={"text": "the best"},
        generation_complete=True,
    )

    assert told(events) == [("u1", True, "It was."), ("u2", False, "the best")]
    assert [e.language for e in events if isinstance(e, Hypothesis)] == ["en-GB", None]


def test_times_and_words() -> None:
    """Offsets and words are told on the media clock, where the service has them."""
    service = Service()
    word = {"word": "It", "start_offset": "2s", "end_offset": "2.5s"}
    (event,) = service.content(
        input_transcription={
            "text": "It was.",
            "start_offset": "2s",
            "end_offset": "4s",
            "words": [word, {"word": "was", "start_offset": "odd"}],
        }
    )

    assert isinstance(event, Hypothesis)
    assert (event.start, event.end) == (102.0, 104.0)
    assert [(w.text, w.start, w.end) for w in event.words] == [("It", 102.0, 102.5)]


def test_voice_activity() -> None:
    """Where the service heard speech is where the text is."""
    service = Service()
    start = {"voice_activity_type": "ACTIVITY_START", "audio_offset": "1.5s"}
    end = {"voice_activity_type": "ACTIVITY_END", "audio_offset": "8s"}
    service.say(server_content={}, voice_activity=start)
    service.content(interim_input_transcription={"text": "it was"})
    service.say(server_content={}, voice_activity=end)
    (event,) = service.content(input_transcription={"text": "It was."})

    assert isinstance(event, Hypothesis)
    assert (event.start, event.end) == (101.5, 108.0)


@pytest.mark.parametrize(
    "activity",
    [
        {"voice_activity_type": "ACTIVITY_END"},
        {"voice_activity_type": "ACTIVITY_START"},
        {"voice_activity_type": "ACTIVITY_START", "audio_offset": "odd"},
        {"voice_activity_type": "ACTIVITY_SINGING", "audio_offset": "1s"},
        {},
    ],
)
@pytest.mark.filterwarnings("ignore:ACTIVITY_SINGING")
def test_odd_voice_activity(activity: dict[str, str]) -> None:
    """What makes no sense is left out, and costs no text."""
    service = Service()
    assert service.say(voice_activity=activity) == []

    assert told(service.content(input_transcription={"text": "It was."}))


def test_nothing() -> None:
    """Empty messages and texts say nothing."""
    service = Service()

    assert service.say() == []
    assert service.content() == []
    assert service.content(input_transcription={}) == []
    assert service.content(input_transcription={"text": ""}) == []
    assert service.content(interim_input_transcription={"text": ""}) == []
    assert service.say(session_resumption_update={}) == []
    assert service.say(tool_call={}) == []
    assert service.say(usage_metadata={}) == []


def test_the_session_itself() -> None:
    """The end that is near, and the state for the next one."""
    service = Service()

    assert service.say(go_away={"time_left": "9.5s"}) == [GoingAway(time_left=9.5)]
    assert service.say(go_away={}) == [GoingAway(time_left=10.0)]
    update = {"new_handle": "h-1", "resumable": True}
    assert service.say(session_resumption_update=update) == [Resumable(handle="h-1")]
    # The state of the handle before can still be taken over.
    assert service.say(session_resumption_update={"resumable": False}) == []
    usage = {"prompt_token_count": 30, "response_token_count": 4}
    assert service.say(usage_metadata=usage) == [
        Usage(input_tokens=30, output_tokens=4)
    ]


def test_an_agent_transcribes_in_pieces() -> None:
    """They are joined, and end with the turn."""
    service = Service(agent=True)
    events = service.content(input_transcription={"text": " What is"})
    events += service.content(input_transcription={"text": " the ti"})
    events += service.content(input_transcription={"text": "me?"})
    assert told(events) == [
        ("u1", False, "What is"),
        ("u1", False, "What is the ti"),
        ("u1", False, "What is the time?"),
    ]

    service.content(model_turn={"parts": [{"text": "Noon."}]})
    events = service.content(turn_complete=True)
    assert told(events) == [("u1", True, "What is the time?")]
    assert TurnComplete() in events
    events = service.content(input_transcription={"text": " Really?"})
    assert told(events) == [("u2", False, "Really?")]


def test_an_agent_that_transcribes_at_once() -> None:
    """A transcription that is finished is final."""
    service = Service(agent=True)
    events = service.content(
        input_transcription={"text": "What is the time?", "finished": True}
    )

    assert told(events)[-1] == ("u1", True, "What is the time?")


def test_what_the_model_says() -> None:
    """Text and transcribed speech are told, thoughts and sound are not."""
    service = Service(agent=True)
    sound = {"inline_data": {"data": b"\0\0", "mime_type": "audio/pcm"}}
    thought = {"text": "Hm.", "thought": True}
    events = service.content(model_turn={"parts": [sound, thought]})
    assert events == []

    events = service.content(output_transcription={"text": "It is"})
    events += service.content(model_turn={"parts": [{"text": " noon."}]})
    events += service.content(generation_complete=True)
    assert events == [ModelText(text="It is"), ModelText(text=" noon.")]


def test_interrupted_by_the_speaker() -> None:
    """One event, though the service completes the turn too; the question is over."""
    service = Service(agent=True)
    service.content(input_transcription={"text": " What?"})
    service.content(output_transcription={"text": "It"})
    events = service.content(interrupted=True)
    events += service.content(turn_complete=True)
    assert [e for e in events if not isinstance(e, Hypothesis)] == [Interrupted()]
    assert told(events) == [("u1", True, "What?")]

    assert service.content(turn_complete=True) == [TurnComplete()]


def test_interrupted_by_the_controller() -> None:
    """The rest of the turn is left out, and its end; the next turn is told again."""
    service = Service(agent=True)
    assert service.messages.interrupt() == []
    service.content(output_transcription={"text": "It"})
    assert service.messages.interrupt() == [Interrupted()]
    assert service.messages.interrupt() == []
    assert service.content(output_transcription={"text": " is"}) == []
    assert service.content(turn_complete=True) == []

    assert service.content(output_transcription={"text": "So"}) == [
        ModelText(text="So")
    ]
    assert service.content(turn_complete=True) == [TurnComplete()]


def test_tool_calls() -> None:
    """A call is answered by its function's name, once; a cancelled one not at all."""
    service = Service(agent=True)
    calls = [
        {"id": "1", "name": "weather", "args": {"town": "Bath"}},
        {"id": "2", "name": "time"},
        {"name": "nameless call"},
    ]
    events = service.say(tool_call={"function_calls": calls})
    assert events == [
        ToolCall(call="1", name="weather", arguments={"town": "Bath"}),
        ToolCall(call="2", name="time", arguments={}),
    ]

    assert service.messages.answered("1") == "weather"
    assert service.messages.answered("1") is None
    cancelled = {"ids": ["1", "2", "3"]}
    events = service.say(tool_call_cancellation=cancelled)
    assert events == [ToolCallCancelled(call="2")]
    assert service.messages.answered("2") is None


def test_tool_calls_that_nobody_answers() -> None:
    """They don't pile up."""
    service = Service(agent=True)
    for number in range(300):
        call = {"id": str(number), "name": "weather"}
        service.say(tool_call={"function_calls": [call]})

    assert service.messages.answered("0") is None
    assert service.messages.answered("299") == "weather"
