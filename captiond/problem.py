"""Problem details for HTTP APIs (RFC 9457): one shape for every error answer."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

CONTENT_TYPE = "application/problem+json"


def problem(
    status: int, detail: str, members: Mapping[str, Any] = MappingProxyType({})
) -> bytes:
    """Return the body of an error answer, with more members (section 3.2) if any."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    return json.dumps(document | dict(members)).encode()
