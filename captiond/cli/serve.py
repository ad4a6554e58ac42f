"""``captiond serve``: run the daemon."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from captiond import config, engines, logs
from captiond.cli import terminal
from captiond.errors import CaptiondError, ConfigError

if TYPE_CHECKING:
    from captiond.daemon import Addresses


class ListenError(CaptiondError):
    """An address can't be listened on."""


# A command has as many arguments as it has options.
def serve(  # noqa: PLR0913, PLR0917
    file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="TOML file. Default: captiond.toml in this directory, if it exists.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="HOST",
            help="Address for WHIP, API and captions. Default: 127.0.0.1.",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Port of WHIP and API. Default: 8080."),
    ] = None,
    ws_port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Port of the captions. Default: 8081."),
    ] = None,
    admin_port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Port of metrics and health. Default: 8082."),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Listen beyond this machine without authentication."
        ),
    ] = False,
    log_level: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL", help="debug, info, warning or error. Default: info."
        ),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="json, console, or auto: json unless on a terminal. Default: auto.",
        ),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any option of the configuration. May be repeated.",
        ),
    ] = None,
) -> None:
    """
    Run the daemon until SIGTERM or Ctrl-C.

    Prints the addresses to use once it is ready; the log goes to standard error. A
    first signal drains: no new publishers, the last words are delivered, readers are
    told to come back. A second one ends at once.

    Options come from the configuration file, then from the environment
    (CAPTIOND_HTTP__PORT=9000), then from the command line; the later ones win. A port
    of 0 takes a free one.

    \b
    Examples:
      captiond serve
      captiond serve --config /etc/captiond.toml --log-level debug
      captiond serve --set engines.moonshine.workers=2 --set stream.linger=300
      captiond serve --host 0.0.0.0 --insecure
    """
    listen: dict[str, dict[str, str | int | None]] = {
        "http": {"host": host, "port": port},
        "websocket": {"host": host, "port": ws_port},
        "admin": {"port": admin_port},
        "log": {"level": log_level, "format": log_format},
    }
    flags: dict[str, Any] = {}
    for option in options or []:
        _set(flags, option)
    for section, values in listen.items():
        given = {key: value for key, value in values.items() if value is not None}
        if given:
            flags.setdefault(section, {}).update(given)
    if insecure:
        flags["insecure"] = True
    loaded = config.load(file=file, flags=flags, schema=engines.schema())

    logs.setup(loaded.log)

    # WebRTC takes half a second to import; --help and errors don't need it.
    from captiond import daemon

    try:
        asyncio.run(daemon.run(loaded, ready=_print_addresses))
    # The daemon's task group wraps what ends it, however early.
    except (OSError, ExceptionGroup) as exc:
        raise _explain(exc) from exc


def _explain(exc: Exception) -> Exception:
    while isinstance(exc, ExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    # Of OSErrors only those of listening are expected; they name the address.
    return ListenError(exc.strerror or str(exc)) if isinstance(exc, OSError) else exc


def _set(flags: dict[str, Any], option: str) -> None:
    path, equals, value = option.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"--set {option}: write KEY=VALUE, as in http.port=9000")
    *sections, key = path.strip().split(".")
    table = flags
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {option}: {section} is not a section")
    table[key] = value


def _print_addresses(addresses: Addresses) -> None:
    for name, address in (
        ("publish", f"{addresses.http}/whip/STREAM"),
        ("captions", f"{addresses.websocket}/streams/STREAM"),
        ("streams", f"{addresses.http}/api/streams"),
        ("metrics", f"{addresses.admin}/metrics"),
    ):
        terminal.out.print(f"{name:<9} {address}")
    terminal.out.file.flush()
