"""What failures mean, what to check, and that no key is shown."""

from __future__ import annotations

import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.exceptions import (
    ConnectionClosedError,
    InvalidMessage,
    InvalidStatus,
)
from websockets.frames import Close
from websockets.http11 import Response

from captiond.engines.remote.faults import Faults
from captiond.errors import EngineError

KEY = "canary-0123456789"

FAULTS = Faults(
    service="Gemini",
    address="gemini.example",
    key_option="GEMINI_API_KEY",
    model_option="engines.gemini.model",
    secrets=(KEY, ""),
)


def response(status: int, **headers: str) -> InvalidStatus:
    return InvalidStatus(
        Response(
            status, "", Headers(**{k.replace("_", "-"): v for k, v in headers.items()})
        )
    )


@pytest.mark.parametrize(
    ("status", "code", "retryable", "check"),
    [
        (401, "unauthorised", False, "GEMINI_API_KEY"),
        (403, "unauthorised", False, "GEMINI_API_KEY"),
        (404, "not_found", False, "engines.gemini.model"),
        (429, "quota", True, "billing"),
        (500, "unavailable", True, "status page"),
        (503, "unavailable", True, "status page"),
        (400, "refused", False, "options"),
        (301, "refused", True, "base URL"),
    ],
)
def test_handshake(status: int, code: str, retryable: bool, check: str) -> None:
    """An HTTP status in place of a WebSocket."""
    error = FAULTS.classify(response(status))

    assert (error.code, error.retryable) == (code, retryable)
    assert check in error.reason


def test_a_key_may_be_a_bad_request() -> None:
    """Some services say by words only that it was the key."""
    error = FAULTS.refused(400, body=f"API key {KEY} not valid")

    assert (error.code, error.retryable) == ("unauthorised", False)
    assert KEY not in error.reason


@pytest.mark.parametrize(
    ("value", "pause"),
    [("120", 120.0), ("5", 30.0), ("soon", 30.0), ("999999", 3600.0)],
)
def test_retry_after(value: str, pause: float) -> None:
    """A quota is asked again as late as the service says, and never soon."""
    assert FAULTS.classify(response(429, Retry_After=value)).retry_after == pause


def test_retry_after_of_a_service_that_is_down() -> None:
    """It may say when it is back."""
    assert FAULTS.classify(response(503, Retry_After="7")).retry_after == 7.0
    assert FAULTS.classify(response(503)).retry_after is None


@pytest.mark.parametrize(
    ("code", "words", "expected", "retryable"),
    [
        (1007, "Request contains an invalid argument.", "refused", False),
        (
            1007,
            "API key not valid. Please pass a valid API key.",
            "unauthorised",
            False,
        ),
        (1008, "", "refused", False),
        (1008, "Permission denied", "unauthorised", False),
        (1008, "models/x is not found for API version v1beta", "not_found", False),
        (1011, "Internal error encountered.", "connection_lost", True),
        (1011, "RESOURCE_EXHAUSTED", "quota", True),
        (1011, "You exceeded your current quota", "quota", True),
        (1000, "The operation was cancelled.", "connection_lost", True),
        (1001, "", "connection_lost", True),
        (1006, "", "connection_lost", True),
        (1012, "", "connection_lost", True),
        (1013, "", "connection_lost", True),
        (4000, "whatever", "connection_lost", True),
    ],
)
def test_close(code: int, words: str, expected: str, retryable: bool) -> None:
    """A WebSocket that the service closes."""
    closed = ConnectionClosedError(Close(code, words), None)
    error = FAULTS.classify(closed)

    assert (error.code, error.retryable) == (expected, retryable)
    assert str(code) in error.reason or expected == "not_found"
    assert words[:30] in error.reason
    assert (error.retry_after or 0) >= (30 if expected == "quota" else 0)


def test_broken_connections() -> None:
    """Without a close frame it is cut off, or didn't answer our pings."""
    cut = FAULTS.classify(ConnectionClosedError(None, None))
    pings = FAULTS.classify(
        ConnectionClosedError(None, Close(1011, "keepalive ping timeout"))
    )

    assert (cut.code, "1006" in cut.reason) == ("connection_lost", True)
    assert (pings.code, "pings" in pings.reason) == ("connection_lost", True)


def certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("exc", "code", "check"),
    [
        (socket.gaierror(-2, "Name or service not known"), "dns", "DNS"),
        (certificate_error(), "tls", "self-signed certificate"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "tls", "speaks TLS"),
        (ConnectionRefusedError(111, "Connection refused"), "unreachable", "refused"),
        (ConnectionResetError(), "unreachable", "ConnectionResetError"),
        (TimeoutError(), "timeout", "firewall"),
        (InvalidMessage("nonsense"), "unreachable", "WebSocket"),
        (EOFError(), "unreachable", "WebSocket"),
        (ValueError("what?"), "protocol", "what?"),
    ],
)
def test_network(exc: Exception, code: str, check: str) -> None:
    """What goes wrong on the way may be over soon; the host is named."""
    error = FAULTS.classify(exc)

    assert (error.code, error.retryable) == (code, True)
    assert check in error.reason
    assert "gemini.example" in error.reason or code == "protocol"


def test_own_errors_stay() -> None:
    """An error that says what it means means it."""
    error = EngineError("closed", "by us", retryable=False)

    assert FAULTS.classify(error) is error


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Rate limit reached for requests", "quota"),
        ("Incorrect API key provided: sk-abc", "unauthorised"),
        ("The model `whisper-9` does not exist", "not_found"),
        ("Something else", "odd"),
    ],
)
def test_messages_of_the_service(message: str, code: str) -> None:
    """Its words decide, and else what the engine made of it."""
    assert FAULTS.told("odd", message, retryable=True).code == code


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        "AIzaSyA0123456789abcdefghij",
        "sk-proj-0123456789",
        "Bearer abc.def.ghi",
        "auth_tokens/0123",
        "ya29.a0AfB",
    ],
)
def test_secrets(secret: str) -> None:
    """Keys and what looks like one are left out of every reason."""
    for error in (
        FAULTS.closed(1008, f"API key {secret} is wrong"),
        FAULTS.closed(1011, f"at ?key={secret}&x=1"),
        FAULTS.told("odd", f"you sent {secret}", retryable=True),
        FAULTS.refused(400, body=secret),
        FAULTS.classify(OSError(1, secret)),
        FAULTS.error("odd", f"it was {secret}", retryable=True),
    ):
        assert secret not in str(error)


@given(st.text(max_size=500), st.integers(1000, 4999))
def test_reasons_are_short_and_on_one_line(words: str, code: int) -> None:
    """Whatever a service says."""
    for error in (
        FAULTS.closed(code, words),
        FAULTS.told("odd", words, retryable=True),
        FAULTS.error("odd", words, retryable=True),
    ):
        assert len(error.reason) <= 200
        assert error.reason.isprintable()
