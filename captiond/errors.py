"""
What can go wrong, by whose fault it is.

CaptiondError
├── ConfigError            the operator's configuration
├── PublisherError         what a publisher sent; carries an HTTP status
│   ├── OfferError         an SDP offer that can't be accepted
│   └── Unavailable        no room now; carries the seconds to wait
├── EngineError            an engine failed; says whether another try may help
├── ControlError           what a controller asked for can't be done now
│   └── NotSupported       the engine lacks a capability
├── StreamNotFound         nobody published under that name
├── StreamNameError        a name that no stream can have
└── …                      the command line's own, each beside its command
"""

from __future__ import annotations


class CaptiondError(Exception):
    """Base of everything that captiond raises on purpose."""


class ConfigError(CaptiondError):
    """The configuration is wrong; the text names the key and what is allowed."""


class PublisherError(CaptiondError):
    """
    A publisher's request can't be served.

    Args:
        detail: What was wrong, where, and what is allowed.
        status: HTTP status to answer with.

    """

    def __init__(self, detail: str, *, status: int = 400) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


class OfferError(PublisherError):
    """The SDP offer is malformed (400) or asks for what captiond refuses (422)."""


class Unavailable(PublisherError):
    """There is no room for the publisher now."""

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail, status=503)
        self.retry_after = retry_after


class EngineError(CaptiondError):
    """
    An engine failed.

    Args:
        code: Short name of the failure, used in logs and metrics.
        reason: What happened, for the operator.
        retryable: Whether opening another session may help.
        retry_after: Seconds before which another try won't help, where that is known.

    """

    def __init__(
        self,
        code: str,
        reason: str,
        *,
        retryable: bool,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.retryable = retryable
        self.retry_after = retry_after


class ControlError(CaptiondError):
    """
    What a controller of a stream asked for can't be done.

    Args:
        code: Short name of the reason.
        detail: What was wrong, and what is allowed.
        status: HTTP status to answer with.

    """

    def __init__(self, code: str, detail: str, *, status: int = 409) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status


class NotSupported(ControlError):
    """
    The stream's engine lacks a capability.

    Args:
        capability: Name of the field of ``Capabilities``.
        engine: Name of the stream's engine.
        engines: Names of the engines that have it.

    """

    def __init__(self, capability: str, engine: str, engines: tuple[str, ...]) -> None:
        have = ", ".join(engines) or "no installed engine"
        super().__init__(
            "unsupported",
            f"the engine {engine} lacks '{capability}'; it is a capability of {have}",
            status=501,
        )
        self.capability = capability
        self.engine = engine
        self.engines = engines


class StreamNotFound(CaptiondError):
    """Nobody has published under this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no stream is called '{name}'")
        self.name = name


class StreamNameError(CaptiondError):
    """The name is not one that a stream can have."""

    def __init__(self) -> None:
        super().__init__(
            "a stream name has 1 to 64 characters out of A-Z a-z 0-9 . _ -"
        )
