"""
The configuration: one typed tree with its defaults.

Sources, the later ones winning: ``captiond.toml``, ``CAPTIOND_…`` environment
variables (``CAPTIOND_HTTP__PORT=9000``), command-line flags. A key that doesn't exist
and a value that isn't allowed are errors that name the key, its source and the rule.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from captiond.errors import ConfigError

ENV_PREFIX = "CAPTIOND_"
ENV_DELIMITER = "__"
DEFAULT_FILE = Path("captiond.toml")

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """One table of the configuration."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True
    )


class Http(Section):
    """WHIP and the API."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8080
    """Port to listen on; 0 takes a free one."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=1 << 20)] = 65_536
    """Largest request body; a larger one gets 413."""


class WebSocket(Section):
    """The caption WebSocket."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8081
    """Port to listen on; 0 takes a free one."""


class Admin(Section):
    """Metrics and health."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8082
    """Port to listen on; 0 takes a free one."""


class WebRtc(Section):
    """How media reaches the daemon."""

    addresses: tuple[str, ...] = ()
    """Local addresses that media is received on. Empty: loopback when ``http.host``
    is loopback, else every address of the machine."""
    connect_timeout: Seconds = 20.0
    """Seconds from the offer until the connection must stand."""


class Audio(Section):
    """The audio receive path."""

    chunk_ms: Annotated[int, Field(ge=20, le=200)] = 40
    """Length of the chunks handed to the engine."""
    reorder_ms: Annotated[int, Field(ge=0, le=500)] = 60
    """How long a missing packet is waited for."""
    max_fill: Seconds = 2.0
    """Longest hole in RTP time that is filled with silence, and longest surplus of
    silence that is made up for; beyond either the clock is anchored anew."""
    silence_after: Seconds = 0.5
    """Seconds without packets after which silence is fed to the engine; senders that
    save silence send one every 0.4 s."""
    gap_event: Seconds = 0.2
    """Shortest loss that readers are told about."""


class EngineSection(Section):
    """What turns audio into text."""

    name: str = "moonshine"
    """Engine that captions; its own options are in the table `engines.NAME`."""
    fallback: str = ""
    """Engine that takes over while the first one can't be had; empty means none."""
    others: tuple[str, ...] = ()
    """Engines that a stream may be switched to besides."""
    fallback_after: Seconds = 1.0
    """Seconds without a session after which the fallback is asked."""
    open_timeout: Seconds = 15.0
    """Seconds that an engine has to accept a session."""
    send_timeout: Seconds = 5.0
    """Seconds that an engine has to take what it is sent."""
    stall_timeout: Seconds = 10.0
    """Seconds of unheard audio after which a session is given up."""
    ring_seconds: Annotated[float, Field(ge=5, le=600)] = 60.0
    """Audio kept until its text is final, to be sent again when an engine fails."""


class Engines(Section):
    """The engines' own options; each installed engine has a table."""


class StreamSection(Section):
    """One live programme."""

    linger: Seconds = 60.0
    """Seconds that a stream waits for its publisher to come back before it ends."""


class History(Section):
    """The caption log."""

    events: Count = 10_000
    """Durable events kept per stream."""
    ended_streams: Count = 100
    """Ended streams whose log is kept."""


class Subscribers(Section):
    """Readers of the caption stream."""

    mailbox: Count = 256
    """Durable events that may wait for a reader that stopped reading."""
    stall_timeout: Seconds = 20.0
    """Seconds after which a reader that takes nothing is cut."""
    send_buffer_bytes: Annotated[int, Field(ge=4096, le=1 << 22)] = 16_384
    """Kernel send buffer per reader: how soon a stopped reader is noticed."""
    max_message_bytes: Annotated[int, Field(ge=128, le=1 << 20)] = 4096
    """Largest message that a reader may send."""


class Limits(Section):
    """Upper bounds of what the daemon takes on."""

    streams: Count = 64
    """Streams with a publisher, or one that may come back."""
    waiting_streams: Count = 64
    """Streams whose readers wait for a first publisher."""
    subscribers: Count = 10_000
    """Readers over all streams."""


class Drain(Section):
    """What SIGTERM does."""

    timeout: Seconds = 10.0
    """Seconds within which the daemon ends."""


class Log(Section):
    """Logs, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important level that is written."""
    format: Literal["auto", "json", "console"] = "auto"
    """``auto`` writes JSON unless standard error is a terminal."""


class Config(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
        use_attribute_docstrings=True,
    )

    insecure: bool = False
    """Allow listening on a public address without authentication."""
    http: Http = Http()
    websocket: WebSocket = WebSocket()
    admin: Admin = Admin()
    webrtc: WebRtc = WebRtc()
    audio: Audio = Audio()
    engine: EngineSection = EngineSection()
    engines: Engines = Engines()
    stream: StreamSection = StreamSection()
    history: History = History()
    subscribers: Subscribers = Subscribers()
    limits: Limits = Limits()
    drain: Drain = Drain()
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take nothing but what :func:`load` hands over, already merged."""
        return (init_settings,)


def load(
    *,
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
    schema: type[Config] = Config,
) -> Config:
    """
    Read the configuration from its sources.

    Args:
        schema: What is allowed; see :func:`captiond.engines.schema`.
        file: TOML file; without it ``captiond.toml`` is read where it exists.
        environ: Environment variables.
        flags: Values given on the command line, nested like the file.

    Raises:
        ConfigError: If a source can't be read, or a key or value is not allowed.

    """
    sources = [
        (str(file or DEFAULT_FILE), _read_file(file)),
        ("the environment", _read_environ(environ, schema)),
        ("the command line", dict(flags or {})),
    ]
    merged: dict[str, Any] = {}
    for _, values in sources:
        _merge(merged, values)
    try:
        config = schema(**merged)
    except ValidationError as exc:
        raise ConfigError(_explain(exc, sources, schema)) from None
    _require_safe_address(config)
    return config


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_file(file: Path | None) -> dict[str, Any]:
    if file is None and not DEFAULT_FILE.exists():
        return {}
    path = file or DEFAULT_FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"{path}: can't be read: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: not valid TOML: {exc}") from exc


def _read_environ(environ: Mapping[str, str], schema: type[Config]) -> dict[str, Any]:
    known = {
        ENV_PREFIX + ENV_DELIMITER.join(path).upper(): path for path in _leaves(schema)
    }
    for name in environ:
        if name.upper().startswith(ENV_PREFIX) and name.upper() not in known:
            raise ConfigError(
                f"{name}: no such option; allowed are {', '.join(sorted(known))}"
            )
    values = EnvSettingsSource(
        schema,
        case_sensitive=False,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
    )
    values.env_vars = {name.lower(): value for name, value in environ.items()}
    try:
        return InitSettingsSource(schema, values())()
    except ValueError as exc:
        raise ConfigError(f"{exc}; lists are written as JSON") from exc


def _leaves(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from ((name, *rest) for rest in _leaves(kind))
        else:
            yield (name,)


def _merge(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = dict(value) if isinstance(value, Mapping) else value


def _explain(
    exc: ValidationError,
    sources: list[tuple[str, dict[str, Any]]],
    schema: type[Config],
) -> str:
    return "\n".join(
        f"{_source_of(error['loc'], sources)}: {'.'.join(map(str, error['loc']))}: "
        f"{_rule(error, schema)}"
        for error in exc.errors()
    )


def _rule(error: ErrorDetails, schema: type[Config]) -> str:
    if error["type"] == "extra_forbidden":
        model: type[BaseModel] = schema
        for key in error["loc"][:-1]:
            kind = model.model_fields[str(key)].annotation
            assert isinstance(kind, type)
            model = kind
        return f"no such option; allowed are {', '.join(model.model_fields)}"
    return f"{error['msg']}, not {error['input']!r}"


def _source_of(
    location: tuple[int | str, ...], sources: list[tuple[str, dict[str, Any]]]
) -> str:
    """Return the last source that says something about a key."""
    for source, values in sources[::-1]:
        if _has(values, location):
            return source
    return "configuration"


def _has(values: object, location: tuple[int | str, ...]) -> bool:
    for key in location:
        if not isinstance(values, Mapping):
            return True  # the value itself is what is wrong
        if key not in values:
            return False
        values = values[key]
    return True


def _require_safe_address(config: Config) -> None:
    if config.insecure:
        return
    for section in ("http", "websocket", "admin"):
        host = getattr(config, section).host
        if not is_loopback(host):
            raise ConfigError(
                f"{section}.host: {host} can be reached from other machines, and "
                "there is no authentication; listen on 127.0.0.1 behind a proxy, or "
                "say --insecure"
            )
