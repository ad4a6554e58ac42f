"""API keys: from a file or from the environment, and never shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from captiond.errors import ConfigError

MAX_KEY_LENGTH = 16_384
"""Characters of a key; a longer file is something else."""


class ApiKey:
    """
    A key that doesn't show itself.

    Args:
        value: The key.
        source: Where it came from: a variable's name, or a file's.

    """

    __slots__ = ("_value", "source")

    def __init__(self, value: str, source: str) -> None:
        self._value = value
        self.source = source

    def reveal(self) -> str:
        """Return the key itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return f"ApiKey(from {self.source})"


def read_key(
    *,
    engine: str,
    file: Path | None,
    environ: Mapping[str, str],
    variables: Sequence[str],
    required: bool = True,
) -> ApiKey | None:
    """
    Return the key from the file, if one is named, else from the environment.

    Args:
        engine: The engine's name, whose option ``api_key_file`` is.
        file: The value of that option.
        environ: Environment variables.
        variables: Names of the variables, the first that is set counts.
        required: Whether there must be one; without it None is returned.

    Raises:
        ConfigError: If there is no key, or not one that can be sent.

    """
    option = f"engines.{engine}.api_key_file"
    if file is not None:
        return _checked(engine, _read(option, file), f"{option} ({file})")
    for name in variables:
        if name in environ and environ[name].strip():
            return _checked(engine, environ[name], name)
    if not required:
        return None
    first, *others = variables
    also = f" (or {', '.join(others)})" if others else ""
    raise ConfigError(f"{engine}: no API key; set {first}{also}, or {option}")


def _read(option: str, file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            return stream.read(MAX_KEY_LENGTH + 2)
    except OSError as exc:
        raise ConfigError(f"{option}: {file} can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError:
        raise ConfigError(f"{option}: {file} holds no key: it is not text") from None


def _checked(engine: str, text: str, source: str) -> ApiKey:
    key = text.strip()
    if not key:
        raise ConfigError(f"{engine}: {source} is empty; it must hold the API key")
    # It travels in a header: anything else there is a slip, or an attack.
    if len(key) > MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise ConfigError(
            f"{engine}: {source} holds no key: a key is one line of at most "
            f"{MAX_KEY_LENGTH} printable ASCII characters"
        )
    if " " in key:
        raise ConfigError(f"{engine}: {source} holds no key: it contains spaces")
    return ApiKey(key, source)
