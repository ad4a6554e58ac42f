"""The README says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from captiond import config, engines
from captiond.metrics import Metrics
from tests.readme_tables import README, render

TEXT = README.read_text(encoding="utf-8")

CONFIGURATIONS = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


def test_tables_are_up_to_date() -> None:
    """Every option, engine and metric is in the README; see ``make readme``."""
    assert render(TEXT) == TEXT


def test_each_engine_has_a_page_with_a_configuration() -> None:
    """A heading with the engine's name, and a table to paste below it."""
    pages = re.split(r"^### ", TEXT, flags=re.MULTILINE)
    for name in engines.types():
        (page,) = [page for page in pages if page.startswith(f"{name}\n")]

        assert f'name = "{name}"' in page


@pytest.mark.parametrize("text", CONFIGURATIONS)
async def test_configurations_work_when_pasted(text: str, tmp_path: Path) -> None:
    """They are valid, and the engines take their options."""
    file = tmp_path / "captiond.toml"
    file.write_text(text, encoding="utf-8")
    loaded = config.load(file=file, environ={}, schema=engines.schema())
    keys = {"GEMINI_API_KEY": "key", "OPENAI_API_KEY": "key"}

    for name, engine in engines.create(loaded, Metrics(), keys).items():
        if name != "moonshine":  # starts workers
            await engine.start()
            await engine.stop()
