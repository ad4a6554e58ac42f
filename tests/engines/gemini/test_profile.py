"""What each profile asks of the service, and which options contradict each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from captiond.engines.gemini import AGENT, TRANSCRIBE
from captiond.engines.gemini.options import GeminiOptions
from captiond.engines.gemini.profile import Profile, vocabulary
from captiond.errors import ConfigError
from captiond.live.engine import SessionContext
from tests.engines.gemini.conftest import AGENT_MODEL


def setup(context: SessionContext | None = None, **options: Any) -> dict[str, Any]:
    """Return the setup that the options make."""
    config = Profile(GeminiOptions(**options)).config(context or SessionContext())
    return config.model_dump(exclude_none=True, mode="json")


def test_transcribe() -> None:
    """Nothing that a model which only transcribes would refuse."""
    assert setup() == {
        "response_modalities": ["TEXT"],
        "input_audio_transcription": {"mode": "VERBATIM"},
        "realtime_input_config": {
            "automatic_activity_detection": {"silence_duration_ms": 800}
        },
    }


def test_languages_and_vocabulary() -> None:
    """The operator's words come first, then those of the stream."""
    made = setup(
        SessionContext(vocabulary=("Dickens", "captiond"), text=("x",), handle="h"),
        languages=("en-GB", "fr"),
        vocabulary=("captiond",),
        silence_ms=500,
    )

    assert made["input_audio_transcription"] == {
        "mode": "VERBATIM",
        "language_codes": ["en-GB", "fr"],
        "custom_vocabulary": ["captiond", "Dickens"],
    }
    assert "session_resumption" not in made
    assert made["realtime_input_config"] == {
        "automatic_activity_detection": {"silence_duration_ms": 500}
    }


def test_vocabulary_is_bounded() -> None:
    """The service takes a thousand words; blanks and repetitions don't count."""
    words = vocabulary([" a ", "", "a"], [str(number) for number in range(2000)])

    assert words[:2] == ("a", "0")
    assert len(words) == 1000


def test_agent(tmp_path: Path) -> None:
    """What a model that converses takes besides."""
    tools = tmp_path / "tools.json"
    declaration = {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "OBJECT", "properties": {"town": {"type": "STRING"}}},
    }
    tools.write_text(json.dumps([declaration]))
    made = setup(
        SessionContext(handle="h-1"),
        model=AGENT_MODEL,
        instruction="Be brief.",
        tools_file=tools,
        temperature=0.5,
    )

    assert made["response_modalities"] == ["AUDIO"]
    assert made["input_audio_transcription"] == {}
    assert made["output_audio_transcription"] == {}
    assert made["session_resumption"] == {"handle": "h-1"}
    assert made["context_window_compression"] == {"sliding_window": {}}
    assert made["system_instruction"]["parts"] == [{"text": "Be brief."}]
    assert made["temperature"] == 0.5
    (tool,) = made["tools"]
    assert tool["function_declarations"][0]["name"] == "weather"


def test_agent_without_extras() -> None:
    """What is turned off isn't asked for."""
    made = setup(model=AGENT_MODEL, compression=False, resumption=False)

    assert set(made) == {
        "response_modalities",
        "input_audio_transcription",
        "output_audio_transcription",
        "realtime_input_config",
        "media_resolution",
    }


def test_profiles() -> None:
    """The model's name tells, unless the operator does."""
    assert Profile(GeminiOptions()).name == "transcribe"
    assert Profile(GeminiOptions(model=AGENT_MODEL)).name == "agent"
    assert Profile(GeminiOptions(profile="agent")).is_agent
    assert not Profile(GeminiOptions(model="tuned", profile="transcribe")).is_agent


def test_capabilities() -> None:
    """The variants as they are named, but for what the options change."""
    assert Profile(GeminiOptions()).capabilities == TRANSCRIBE
    assert Profile(GeminiOptions(model=AGENT_MODEL)).capabilities == AGENT
    one = Profile(GeminiOptions(languages=("fr",), session_seconds=60)).capabilities
    assert (one.languages, one.max_session_seconds) == (("fr",), 60)
    assert (one.text, one.video, one.tools, one.interrupt) == (False,) * 4
    other = Profile(GeminiOptions(model=AGENT_MODEL, resumption=False)).capabilities
    assert not other.resumable


def test_patience() -> None:
    """An agent has three times as long for its finals."""
    assert Profile(GeminiOptions()).finalise_timeout == 2.5
    agent = Profile(GeminiOptions(model=AGENT_MODEL, finalise_timeout=1))
    assert agent.finalise_timeout == 3.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instruction": "x"}, "instruction: the model .* profile 'transcribe'"),
        ({"temperature": 0.0}, "temperature: .* 'transcribe'"),
        ({"tools_file": Path("x")}, "tools_file: .* 'transcribe'"),
        ({"model": AGENT_MODEL, "languages": ("en",)}, "languages: .* 'agent'"),
        ({"model": AGENT_MODEL, "vocabulary": ("x",)}, "vocabulary: .* 'agent'"),
        ({"vertex_project": "p"}, "go together"),
        ({"vertex_location": "global"}, "go together"),
        ({"base_url": "http://127.0.0.1"}, "must begin with https://"),
    ],
)
def test_contradictions(options: dict[str, Any], message: str) -> None:
    """They are named when the daemon starts, not when a session is opened."""
    with pytest.raises(ConfigError, match=message):
        Profile(GeminiOptions(**options))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "not valid JSON"),
        ("{}", "no list of function declarations"),
        ('[{"name": 5}]', "no list of function declarations: 0.name"),
        ('[{"description": "nameless"}]', "lacks its name"),
        ("[" + " " * (1 << 20) + "]", "larger than"),
    ],
)
def test_files_of_tools(tmp_path: Path, content: str, message: str) -> None:
    """A file that isn't right is named, with what is wrong."""
    file = tmp_path / "tools.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        Profile(GeminiOptions(model=AGENT_MODEL, tools_file=file))
    assert str(file) in str(caught.value)


def test_file_of_tools_that_is_missing(tmp_path: Path) -> None:
    """So is one that isn't there."""
    with pytest.raises(ConfigError, match="No such file"):
        Profile(GeminiOptions(model=AGENT_MODEL, tools_file=tmp_path / "none"))
