"""
What a service's failure means: one clear sentence, and whether another try may help.

No I/O. :meth:`Faults.classify` takes what websockets and sockets raise; an engine whose
SDK wraps that hands the parts to :meth:`Faults.refused` and :meth:`Faults.closed`.
Reasons never contain a key and are short: services repeat what they were sent.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable, Mapping

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from captiond.errors import EngineError

MAX_REASON = 200
"""Characters of a reason."""

QUOTA_PAUSE = 30.0
"""Least seconds to wait once a quota is used up."""

MAX_PAUSE = 3600.0
"""Most seconds that a service may ask to wait."""

_KEY_WORDS = re.compile(
    r"api.?key|unauthenticated|unauthori[sz]ed|permission|credential|access token"
    r"|forbidden",
    re.IGNORECASE,
)
_MODEL_WORDS = re.compile(
    r"not found|not supported for|does ?n.?t exist|does not exist|unknown model",
    re.IGNORECASE,
)
_QUOTA_WORDS = re.compile(
    r"quota|resource.?exhausted|rate.?limit|too many (requests|sessions)|billing"
    r"|insufficient.?(funds|credit)",
    re.IGNORECASE,
)
_SECRETS = re.compile(
    r"AIza[\w-]{20,}|\bsk-[\w-]{8,}|\bauth_tokens/\S+|\bya29\.\S+"
    r"|\b(?:Bearer|Token)\s+\S+|(?<=[?&]key=)[^&\s]+",
    re.IGNORECASE,
)
"""What looks like a key, also when it isn't one of ours."""


class Faults:
    """
    Turns the failures of one service into :class:`captiond.errors.EngineError`.

    Args:
        service: Name of the service for the operator, such as ``Gemini``.
        address: Host that is connected to.
        key_option: What to check when the key is refused.
        model_option: What to check when the model is unknown.
        secrets: Strings that must never be shown.

    """

    def __init__(
        self,
        *,
        service: str,
        address: str,
        key_option: str,
        model_option: str,
        secrets: Iterable[str] = (),
    ) -> None:
        self._service = service
        self._address = address
        self._key_option = key_option
        self._model_option = model_option
        self._secrets = sorted({s for s in secrets if s}, key=len, reverse=True)

    def scrub(self, text: object, *, limit: int = MAX_REASON) -> str:
        """Return text on one line, short, and without secrets."""
        shown = str(text)
        for secret in self._secrets:
            shown = shown.replace(secret, "***")
        shown = " ".join(_SECRETS.sub("***", shown).split())
        shown = "".join(c if c.isprintable() else "?" for c in shown)
        return shown if len(shown) <= limit else shown[: limit - 1] + "…"

    def error(
        self,
        code: str,
        reason: str,
        *,
        retryable: bool,
        retry_after: float | None = None,
    ) -> EngineError:
        """Return an error of the engine's own making, its reason made fit to show."""
        return EngineError(
            code, self.scrub(reason), retryable=retryable, retry_after=retry_after
        )

    def classify(self, exc: BaseException) -> EngineError:
        """Return the error for an exception of websockets, ssl or the sockets."""
        match exc:
            case EngineError():
                return exc
            case InvalidStatus():
                response = exc.response
                return self.refused(
                    response.status_code,
                    headers=response.headers,
                    body=bytes(response.body or b"").decode("utf-8", "replace"),
                )
            case ConnectionClosed():
                return self._connection_closed(exc)
            case InvalidHandshake() | EOFError():
                return self.error(
                    "unreachable",
                    f"{self._address} doesn't answer as a WebSocket server "
                    f"({type(exc).__name__}); check the base URL and proxies",
                    retryable=True,
                )
            case _:
                return self._network(exc)

    def refused(
        self, status: int, *, headers: Mapping[str, str] | None = None, body: str = ""
    ) -> EngineError:
        """Return the error for an HTTP status in place of a WebSocket."""
        if status in (401, 403) or (status == 400 and _KEY_WORDS.search(body)):
            return self._unauthorised(f"HTTP {status}{self._quoted(body)}")
        if status == 404:
            return self.error(
                "not_found",
                f"{self._service} knows no such address (HTTP 404); check the base "
                f"URL and API version, and {self._model_option}",
                retryable=False,
            )
        if status == 429:
            return self._quota("HTTP 429", _retry_after(headers))
        if status >= 500:
            return self.error(
                "unavailable",
                f"{self._service} is unavailable (HTTP {status}); its status page "
                "may say why",
                retryable=True,
                retry_after=_retry_after(headers),
            )
        return self.error(
            "refused",
            f"{self._service} refused the connection (HTTP {status}); check the base "
            f"URL and options{self._quoted(body)}",
            retryable=status < 400,
        )

    def closed(self, code: int, reason: str = "") -> EngineError:
        """Return the error for a WebSocket that the service closed, or that broke."""
        if _QUOTA_WORDS.search(reason):
            return self._quota(f"close code {code}{self._quoted(reason)}", None)
        if code in (1007, 1008):
            return self._policy(code, reason)
        how = {
            1000: "ended the session",
            1001: "is going away",
            1006: "is cut off",
            1009: "got or sent a message that is too big",
            1011: "had an internal error",
            1012: "restarts",
            1013: "asks to come back later",
        }.get(code, "closed the connection")
        return self.error(
            "connection_lost",
            f"{self._service} {how} (close code {code}){self._quoted(reason)}",
            retryable=True,
        )

    def told(self, code: str, message: str, *, retryable: bool) -> EngineError:
        """
        Return the error for one that the service told in a message of its own.

        Args:
            code: What it is, unless the words say that it's the key, model or quota.
            message: The service's words.
            retryable: Whether another session may fare better.

        """
        if _QUOTA_WORDS.search(message):
            return self._quota(f"it says{self._quoted(message)}", None)
        if _KEY_WORDS.search(message):
            return self._unauthorised(f"it says{self._quoted(message)}")
        if _MODEL_WORDS.search(message):
            return self._unknown_model(self._quoted(message))
        return self.error(
            code,
            f"{self._service} reports an error{self._quoted(message)}",
            retryable=retryable,
        )

    def _policy(self, code: int, reason: str) -> EngineError:
        if _KEY_WORDS.search(reason):
            return self._unauthorised(f"close code {code}{self._quoted(reason)}")
        if _MODEL_WORDS.search(reason):
            return self._unknown_model(self._quoted(reason))
        return self.error(
            "refused",
            f"{self._service} refused what it was sent (close code {code}); check the "
            f"engine's options{self._quoted(reason)}",
            retryable=False,
        )

    def _connection_closed(self, exc: ConnectionClosed) -> EngineError:
        # What the service said counts; what we sent says why we gave up ourselves.
        if exc.rcvd is not None:
            return self.closed(exc.rcvd.code, exc.rcvd.reason)
        if exc.sent is not None and "ping timeout" in exc.sent.reason:
            return self.error(
                "connection_lost",
                f"{self._service} stopped answering keepalive pings; check the network",
                retryable=True,
            )
        return self.closed(1006, exc.sent.reason if exc.sent is not None else "")

    def _network(self, exc: BaseException) -> EngineError:
        match exc:
            case socket.gaierror():
                return self.error(
                    "dns",
                    f"the name of {self._address} can't be resolved; check the name "
                    "and this machine's DNS",
                    retryable=True,
                )
            case ssl.SSLCertVerificationError():
                return self.error(
                    "tls",
                    f"the certificate of {self._address} is not trusted "
                    f"({exc.verify_message}); check ca_file, proxies and the clock",
                    retryable=True,
                )
            case ssl.SSLError():
                # Python sets the reason on most of them.
                what = getattr(exc, "reason", None) or exc.strerror
                return self.error(
                    "tls",
                    f"no secure connection to {self._address} ({what}); check that "
                    "the base URL speaks TLS, and proxies in between",
                    retryable=True,
                )
            case TimeoutError():
                return self.error(
                    "timeout",
                    f"{self._address} didn't answer in time; check the network and "
                    "firewall",
                    retryable=True,
                )
            case OSError():
                what = exc.strerror or type(exc).__name__
                return self.error(
                    "unreachable",
                    f"{self._address} can't be reached ({what}); check the address, "
                    "network and firewall",
                    retryable=True,
                )
            case _:
                return self.error(
                    "protocol",
                    f"{self._service} can't be understood ({type(exc).__name__}"
                    f"{self._quoted(str(exc))}); the versions may not fit",
                    retryable=True,
                )

    def _unauthorised(self, how: str) -> EngineError:
        return self.error(
            "unauthorised",
            f"{self._service} refuses the API key; check {self._key_option}: {how}",
            retryable=False,
        )

    def _unknown_model(self, quoted: str) -> EngineError:
        return self.error(
            "not_found",
            f"{self._service} has no such model; check {self._model_option}{quoted}",
            retryable=False,
        )

    def _quota(self, how: str, pause: float | None) -> EngineError:
        return self.error(
            "quota",
            f"{self._service}'s quota is used up; check the account's plan, limits "
            f"and billing: {how}",
            retryable=True,
            retry_after=max(QUOTA_PAUSE, pause or 0.0),
        )

    def _quoted(self, words: str) -> str:
        shown = self.scrub(words, limit=80)
        return f": '{shown}'" if shown else ""


def _retry_after(headers: Mapping[str, str] | None) -> float | None:
    value = (headers or {}).get("Retry-After", "").strip()
    return min(float(value), MAX_PAUSE) if re.fullmatch(r"\d{1,9}", value) else None
