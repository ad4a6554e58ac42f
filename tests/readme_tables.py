"""
The README's tables of options and metrics, made from the code.

``python -m tests.readme_tables`` writes them; a test compares them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel

from captiond.config import Config
from captiond.metrics import Metrics

README = Path(__file__).parents[1] / "README.md"


def options() -> str:
    """Return the table of options."""
    rows = ["| option | default | what it is |", "|---|---|---|"]
    rows += [
        f"| `{name}` | `{default}` | {' '.join(text.split()).replace('``', '`')} |"
        for name, default, text in _options(Config)
    ]
    return "\n".join(rows)


def metrics() -> str:
    """Return the table of captiond's own metrics."""
    rows = ["| metric | kind | labels | what it counts |", "|---|---|---|---|"]
    for metric in vars(Metrics()).values():
        if isinstance(metric, MetricWrapperBase):
            suffix = "_total" if metric._type == "counter" else ""
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            rows.append(
                f"| `{metric._name}{suffix}` | {metric._type} | {labels} "
                f"| {metric._documentation} |"
            )
    return "\n".join(rows)


def render(text: str) -> str:
    """Return the README with its tables brought up to date."""
    for name, table in (("options", options()), ("metrics", metrics())):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, found, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        assert found, f"the README has no place for {name}"
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def _options(
    model: type[BaseModel], prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _options(kind, f"{prefix}{name}.")
        else:
            default = json.dumps(field.get_default())
            yield prefix + name, default, field.description or ""


if __name__ == "__main__":
    README.write_text(render(README.read_text(encoding="utf-8")), encoding="utf-8")
