"""Tests of the logs."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from captiond import logs
from captiond.config import Log


@pytest.fixture(autouse=True)
def _restore() -> object:
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers.clear()


def test_lines_are_json_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Our lines and the libraries' have one shape."""
    logs.setup(Log(format="json"))
    logs.get("part", stream="demo").info("happened", count=1)
    logging.getLogger("aiortc").warning("odd %s", "thing")
    logging.getLogger("aioice").info("chatter")
    ours, theirs = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    assert (ours["event"], ours["stream"], ours["count"]) == ("happened", "demo", 1)
    assert (theirs["event"], theirs["level"]) == ("odd thing", "warning")


def test_level_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """What is less important than the level isn't written."""
    logs.setup(Log(format="json", level="error"))
    logs.get("part").warning("minor")

    assert capsys.readouterr().err == ""


def test_repeated_faults_are_one_line_a_second() -> None:
    """A throttle counts what it doesn't write."""
    now = 0.0
    written: list[int] = []
    throttle = logs.Throttle(written.append, clock=lambda: now)
    for step in range(25):
        now = step * 0.1
        throttle.hit()

    assert written == [1, 10, 10]
