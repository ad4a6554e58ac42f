"""Keys come from where the operator put them, and are never shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from captiond.engines.remote.keys import ApiKey, read_key
from captiond.errors import ConfigError

CANARY = "canary-0123456789"
VARIABLES = ("FIRST_KEY", "SECOND_KEY")


def read(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    required: bool = True,
) -> ApiKey | None:
    return read_key(
        engine="gemini",
        file=file,
        environ=environ or {},
        variables=VARIABLES,
        required=required,
    )


def test_environment() -> None:
    """The first variable that is set counts; white space around the key doesn't."""
    key = read(environ={"FIRST_KEY": " ", "SECOND_KEY": f" {CANARY}\n"})

    assert key is not None
    assert (key.reveal(), key.source) == (CANARY, "SECOND_KEY")


def test_file(tmp_path: Path) -> None:
    """A file that is named wins over the environment."""
    file = tmp_path / "key"
    file.write_text(f"{CANARY}\n")
    key = read(file, {"FIRST_KEY": "other"})

    assert key is not None
    assert key.reveal() == CANARY
    assert str(file) in key.source


def test_it_does_not_show_itself() -> None:
    """Neither printed nor formatted nor looked into."""
    key = read(environ={"FIRST_KEY": CANARY})

    assert CANARY not in f"{key} {key!r} {[key]}"
    assert repr(key) == "ApiKey(from FIRST_KEY)"
    assert not hasattr(key, "__dict__")


def test_none() -> None:
    """The error says where a key could be put."""
    with pytest.raises(
        ConfigError,
        match=r"^gemini: no API key; set FIRST_KEY \(or SECOND_KEY\), or "
        r"engines\.gemini\.api_key_file$",
    ):
        read()
    assert read(required=False) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("two words", "contains spaces"),
        ("one\ntwo", "one line"),
        ("k\u00e4y", "printable ASCII"),
        ("x" * 20_000, "at most 16384"),
    ],
)
def test_what_is_no_key(tmp_path: Path, text: str, why: str) -> None:
    """A file with something else in it is named; its content isn't shown."""
    file = tmp_path / "key"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=why) as caught:
        read(file)

    assert str(file) in str(caught.value)
    assert not text.strip() or text.strip() not in str(caught.value)


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    """The option and the reason are named."""
    with pytest.raises(ConfigError, match=r"api_key_file: .*No such file"):
        read(tmp_path / "missing")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not text"):
        read(binary)


def test_keys_of_the_environment_are_checked_too() -> None:
    """The variable is named, not its value."""
    with pytest.raises(ConfigError, match="FIRST_KEY holds no key") as caught:
        read(environ={"FIRST_KEY": "two words"})

    assert "two words" not in str(caught.value)
