"""Tests of what controllers may ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiond.egress.requests import (
    BURST,
    MAX_BAD,
    MAX_TEXT_BYTES,
    RATE,
    Conduct,
    Flush,
    Request,
    SwitchEngine,
    decode,
    parse,
    take_id,
    take_type,
)
from captiond.errors import ControlError
from captiond.live.inputs import Interrupt, Text
from captiond.live.session import TextPurpose, ToolResponse


@pytest.mark.parametrize(
    ("kind", "document", "request_"),
    [
        ("text", {"text": "why?"}, Text("why?", TextPurpose.QUESTION)),
        (
            "text",
            {"text": "ice, DTLS", "purpose": "vocabulary"},
            Text("ice, DTLS", TextPurpose.VOCABULARY),
        ),
        ("interrupt", {}, Interrupt()),
        ("flush", {}, Flush()),
        (
            "tool_response",
            {"call": "c1", "result": {"deep": [1, None]}},
            ToolResponse(call="c1", result={"deep": [1, None]}),
        ),
        ("engine", {"name": "gemini"}, SwitchEngine("gemini")),
    ],
)
def test_requests(kind: str, document: dict[str, Any], request_: Request) -> None:
    """Every type of request, as it should be."""
    assert parse(kind, document) == request_


@pytest.mark.parametrize(
    ("kind", "document", "detail"),
    [
        ("text", {}, "'text' is missing; it is a string"),
        ("text", {"text": 1}, "'text' must be a string, not a number"),
        ("text", {"text": None}, "'text' must be a string, not null"),
        ("text", {"text": " \n"}, "'text' is empty"),
        ("text", {"text": "ä" * MAX_TEXT_BYTES}, "at most 16384 are allowed"),
        (
            "text",
            {"text": "a", "purpose": "joke"},
            "'purpose' is one of question, context, vocabulary, not 'joke'",
        ),
        ("text", {"text": "a", "purpose": []}, "not an array"),
        ("text", {"txet": "a"}, "'text' has no key 'txet'; allowed are text, purpose"),
        ("interrupt", {"now": True}, "'interrupt' has no key 'now'; it takes none"),
        ("flush", {"text": "a"}, "'flush' has no key 'text'"),
        ("tool_response", {"result": {}}, "'call' is missing"),
        ("tool_response", {"call": "", "result": {}}, "'call' must have 1 to 256"),
        ("tool_response", {"call": "c"}, "'result' is missing; it is an object"),
        ("tool_response", {"call": "c", "result": True}, "object, not a boolean"),
        ("engine", {"name": "x" * 257}, "'name' must have 1 to 256 characters"),
        ("engine", {"name": {}}, "'name' must be a string, not an object"),
    ],
)
def test_malformed_requests_are_named(
    kind: str, document: dict[str, Any], detail: str
) -> None:
    """What is wrong is told with the key and what may be there."""
    with pytest.raises(ControlError) as caught:
        parse(kind, document)

    assert detail in caught.value.detail
    assert (caught.value.code, caught.value.status) == ("bad_request", 400)


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        ("", "not JSON"),
        ("{'a': 1}", "not JSON"),
        (b"\xff", "not UTF-8"),
        ("[]", "a JSON object, not an array"),
        ('"x"', "a JSON object, not a string"),
        ('{"result": NaN}', "not JSON"),
        ('{"result": 1e999}', "not JSON"),
        ('{"text": "\\ud800"}', "half of a surrogate pair"),
        ("[" * 60_000, "not JSON"),
        ('{"id": ' + "1" * 5000 + "}", "not JSON"),
    ],
)
def test_what_is_no_json_object_is_refused(raw: str | bytes, detail: str) -> None:
    """Whatever comes in is answered, never passed on."""
    with pytest.raises(ControlError, match=detail):
        decode(raw)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_message_is_an_object_or_refused(raw: bytes | str) -> None:
    """Nothing but a ControlError ever comes out of the parser."""
    try:
        document = decode(raw)
        take_id(document)
        parse(take_type(document), document)
    except ControlError as exc:
        assert exc.status == 400  # noqa: PT017 - either is fine, nothing else is


@given(
    st.dictionaries(
        st.sampled_from(["id", "type", "text", "purpose", "call", "result", "name"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=3,
        ),
    )
)
def test_any_object_is_a_request_or_refused(document: dict[str, Any]) -> None:
    """Right keys with any values under them are taken or refused."""
    try:
        document = decode(json.dumps(document))
        take_id(document)
        parse(take_type(document), document)
    except ControlError as exc:
        assert exc.status == 400  # noqa: PT017 - either is fine, nothing else is


@pytest.mark.parametrize("value", ["", "a" * 64, 0, -5, None])
def test_id_is_taken_out(value: object) -> None:
    """A request's id is a short string or an integer, and may be left out."""
    document = {"id": value, "type": "flush"}

    assert take_id(document) == value
    assert document == {"type": "flush"}


@pytest.mark.parametrize("value", ["a" * 65, 1.5, True, [], {}, 2**53])
def test_other_ids_are_refused(value: object) -> None:
    """What could not be told back is refused."""
    with pytest.raises(ControlError, match="'id' is a string of at most 64"):
        take_id({"id": value})


@pytest.mark.parametrize(
    ("document", "detail"),
    [
        ({}, "'type' is missing; it is one of text, interrupt, flush"),
        ({"type": "shout"}, "not 'shout'"),
        ({"type": 1}, "not a number"),
    ],
)
def test_type_must_be_known(document: dict[str, Any], detail: str) -> None:
    """The answer to an unknown type lists the known ones."""
    with pytest.raises(ControlError, match=detail):
        take_type(document)


def test_requests_come_at_a_rate() -> None:
    """A burst is fine and the rate for ever; more than both is too much."""
    now = 0.0
    conduct = Conduct(lambda: now)
    burst = [conduct.request() for _ in range(BURST)]
    over = conduct.request()
    now = 10.0
    steady = []
    for _ in range(20 * RATE):
        now += 1 / RATE
        steady.append(conduct.request())

    assert not any(burst)
    assert over == "more than 50 requests per second"
    assert not any(steady)


def test_malformed_requests_come_to_an_end() -> None:
    """A hundred are answered, one more ends it."""
    conduct = Conduct(lambda: 0.0)

    assert not any(conduct.malformed() for _ in range(MAX_BAD))
    assert conduct.malformed() == "more than 100 malformed requests"
