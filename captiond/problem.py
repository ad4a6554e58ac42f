"""Problem details for HTTP APIs (RFC 9457): one shape for every error answer."""

from __future__ import annotations

import http
import json

CONTENT_TYPE = "application/problem+json"


def problem(status: int, detail: str) -> bytes:
    """Return the body of an error answer."""
    document = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    return json.dumps(document).encode()
