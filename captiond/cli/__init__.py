"""
The command line: the only place of captiond that prints.

Every command is one module, whose function carries its manual page. An expected
failure is one line on standard error and an exit code: 2 for a wrong command line or
configuration, 1 for everything else.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from captiond.cli import demo, doctor, publish, serve, talk, terminal, watch
from captiond.errors import CaptiondError, ConfigError

# Typer raises its own copies of click's exceptions, and exports only this one.
_UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="captiond",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)


def _print_version(value: bool) -> None:
    if value:
        terminal.out.print(f"captiond {importlib.metadata.version('captiond')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def captiond(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """
    Live captions over WebRTC.

    captiond takes the sound of a live programme from a WebRTC publisher (OBS, a
    browser, ffmpeg, GStreamer, or "captiond publish"), turns it into captions on this
    machine, and sends them to everybody who reads, a moment after they were spoken.

    \b
    To see it work:
      captiond demo                    daemon, publisher and reader in one
    To use it:
      captiond serve                   in one terminal
      captiond watch news              in a second
      captiond publish talk.wav --url http://127.0.0.1:8080/whip/news
      captiond talk news               in place of watch, to ask the engine
    When it doesn't:
      captiond doctor                  says what is missing

    \b
    Exit codes:
      0  done
      1  failed; one line on standard error says why
      2  wrong command line or configuration
    """
    del version
    if context.invoked_subcommand is None:
        terminal.out.print(context.get_help())


app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("publish")(publish.publish)
app.command("watch")(watch.watch)
app.command("talk")(talk.talk)
app.command("doctor")(doctor.doctor)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    command = typer.main.get_command(app)
    try:
        code = command.main(
            arguments if arguments is None else list(arguments),
            prog_name="captiond",
            standalone_mode=False,
        )
    except _UsageError as exc:
        path = exc.ctx.command_path if exc.ctx is not None else "captiond"
        _fail(f"{exc.format_message()} (see {path} --help)", code=2)
    except ConfigError as exc:
        _fail(str(exc), code=2)
    except CaptiondError as exc:
        _fail(str(exc), code=1)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, *, code: int) -> NoReturn:
    terminal.err.print(f"captiond: {message}")
    sys.exit(code)
