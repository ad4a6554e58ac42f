"""Every error of the HTTP side, as problem details (RFC 9457), and CORS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import web

from captiond import logs
from captiond.errors import (
    CaptiondError,
    ControlError,
    NotSupported,
    PublisherError,
    StreamNotFound,
    Unavailable,
)
from captiond.metrics import Metrics
from captiond.problem import CONTENT_TYPE, problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
    # '*' would not cover Authorization.
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Post, Retry-After",
    "Access-Control-Max-Age": "600",
}


def middleware(metrics: Metrics) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Return the middleware that answers errors and adds the CORS headers."""
    log = logs.get("http")

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except ConnectionError:
            raise  # the client is gone; aiohttp knows what to do
        except (CaptiondError, web.HTTPException) as exc:
            response = _refuse(request, exc)
        except Exception:  # the outermost frame of a request
            log.exception("request failed", path=request.path, method=request.method)
            response = _problem(500, "captiond failed; the log has the reason")
        if request.path.startswith("/whip/") and response.status >= 400:
            metrics.offers_refused.labels(str(response.status)).inc()
        response.headers.update(CORS)
        return response

    return answer


def _refuse(
    request: web.Request, exc: CaptiondError | web.HTTPException
) -> web.Response:
    match exc:
        case web.HTTPException():
            response = _problem(exc.status, _explain(exc, request))
            if isinstance(exc, web.HTTPMethodNotAllowed):
                response.headers["Allow"] = ", ".join(sorted(exc.allowed_methods))
        case PublisherError():
            response = _problem(exc.status, exc.detail)
            if isinstance(exc, Unavailable):
                response.headers["Retry-After"] = str(exc.retry_after)
        case ControlError():
            response = _problem(exc.status, exc.detail, _members(exc))
            if exc.status == 503:
                response.headers["Retry-After"] = "1"
        case StreamNotFound():
            response = _problem(404, str(exc))
        case _:
            response = _problem(400, str(exc))
    return response


def _members(exc: ControlError) -> dict[str, Any]:
    """Return what programs tell the errors of control apart by."""
    if not isinstance(exc, NotSupported):
        return {"code": exc.code}
    return {
        "code": exc.code,
        "capability": exc.capability,
        "engine": exc.engine,
        "engines": exc.engines,
    }


def _problem(
    status: int, detail: str, members: Mapping[str, Any] = MappingProxyType({})
) -> web.Response:
    body = problem(status, detail, members)
    return web.Response(status=status, body=body, content_type=CONTENT_TYPE)


def _explain(exc: web.HTTPException, request: web.Request) -> str:
    match exc.status:
        case 404:
            return "there is nothing at this address"
        case 405:
            return f"{request.method} is not allowed here"
        case 413:
            return "the body is too large (http.max_body_bytes)"
        case _:
            return exc.text or exc.reason
