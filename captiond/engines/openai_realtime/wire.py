"""Messages as they are received, and what the server's complaints mean."""

from __future__ import annotations

import json
from typing import Any

from captiond.engines.openai_realtime.dialects import Malformed
from captiond.engines.openai_realtime.steps import Fatal
from captiond.engines.remote.faults import Faults
from captiond.errors import EngineError

_OWN_CODES = {
    "session_expired": "the server ended the session",
    "ended_early": "the server broke off",
    "silent": "the server hangs",
}
"""What these failures mean; the codes of all others are the server's business."""


def decode(data: str | bytes) -> dict[str, Any]:
    """
    Return a received message.

    Raises:
        Malformed: If it is no JSON object.

    """
    if not isinstance(data, str):
        raise Malformed("a binary message")
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        raise Malformed("not valid JSON") from None
    if not isinstance(message, dict):
        raise Malformed("no JSON object")
    return message


def fatal(faults: Faults, exc: Fatal) -> EngineError:
    """Return the error for what the server said."""
    trouble = exc.trouble
    if trouble.code in _OWN_CODES:
        return faults.error(
            trouble.code,
            f"{_OWN_CODES[trouble.code]}: {trouble.message}",
            retryable=True,
        )
    code = "service_error" if trouble.retryable else "refused"
    return faults.told(code, trouble.message, retryable=trouble.retryable)
