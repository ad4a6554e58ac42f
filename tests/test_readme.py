"""The README says what the code does."""

from __future__ import annotations

from tests.readme_tables import README, render


def test_tables_are_up_to_date() -> None:
    """Every option and metric is in the README; ``make readme`` brings it about."""
    text = README.read_text(encoding="utf-8")

    assert render(text) == text
