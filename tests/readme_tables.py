"""
The README's tables of options, engines and metrics, made from the code.

``python -m tests.readme_tables`` writes them; a test compares them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel

from captiond import engines
from captiond.live.session import Capabilities
from captiond.metrics import Metrics

README = Path(__file__).parents[1] / "README.md"


def options() -> str:
    """Return the table of options."""
    rows = ["| option | default | what it is |", "|---|---|---|"]
    rows += [
        f"| `{name}` | `{default}` | {' '.join(text.split()).replace('``', '`')} |"
        for name, default, text in _options(engines.schema())
    ]
    return "\n".join(rows)


def capabilities() -> str:
    """Return the table of what each engine can do."""
    names = [field.name for field in dataclasses.fields(Capabilities)]
    heads = [name.replace("_", " ").removeprefix("max ") for name in names]
    rows = [
        f"| engine | {' | '.join(heads)} |",
        f"|---|{'---|' * len(heads)}",
    ]
    for name, kind in engines.types().items():
        for variant, can in kind.variants.items():
            cells = [_cell(getattr(can, field)) for field in names]
            rows.append(f"| `{name}`, {variant} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _cell(value: object) -> str:
    match value:
        case True:
            return "yes"
        case False:
            return ""
        case None:
            return "no limit"
        case ():
            return "detects"
        case tuple():
            return ", ".join(map(str, value))
        case _:
            return f"{value:g}"


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
    tables = {
        "options": options(),
        "capabilities": capabilities(),
        "metrics": metrics(),
    }
    for name, table in tables.items():
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
