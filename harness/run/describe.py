"""The tables of docs/results.md and the JSON Schema of results.json, made of the one definition of results.

``python -m harness.run.describe`` writes the tables into the page again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from harness import paths
from harness.run.folder import RESULTS
from harness.run.results_model import CellResult, OtherCases, Results

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PAGE = paths.TOP / "docs" / "results.md"
TABLES: dict[str, type[BaseModel]] = {"run": Results, "other": OtherCases, "cell": CellResult}
APART = ("cells", "other")  # that have tables of their own


def schema() -> dict[str, Any]:
    """Return the JSON Schema of results.json."""
    made = Results.model_json_schema(by_alias=True, mode="serialization")
    return {"$schema": DIALECT, **made, "title": RESULTS}


def schema_text() -> str:
    """Return the JSON Schema as text."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def rows(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield each key of a model, those of models in it after it: its path, its unit, and what it means."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner, many = _inner(field)
        if field.description:
            yield key, _unit(field), field.description
        if inner and (field.description is None or key not in APART):
            yield from rows(inner, f"{key}[]." if many else f"{key}.")


def _unit(field: FieldInfo) -> str:
    extra = next((one.json_schema_extra for one in field.metadata if isinstance(one, FieldInfo)), None)
    extra = extra or field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def _inner(field: FieldInfo) -> tuple[type[BaseModel] | None, bool]:
    """Return the model that a field holds, and whether it holds a list of them."""
    kinds = [field.annotation, *get_args(field.annotation)]
    found = next((one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)), None)
    return found, found is not None and Ellipsis in get_args(field.annotation)


def table(model: type[BaseModel]) -> str:
    """Return the table of a model's keys in Markdown."""
    lines = ["| key | unit | meaning |", "| --- | --- | --- |"]
    for key, unit, meaning in rows(model):
        text = meaning.replace("|", "\\|")
        lines.append(f"| `{key}` | {unit} | {text} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """Return a page with its tables made again: each stands between ``<!-- table NAME -->`` and ``<!-- end -->``."""
    for name, model in TABLES.items():
        head, mark, rest = text.partition(f"<!-- table {name} -->\n")
        if mark:
            text = f"{head}{mark}{table(model)}{rest[rest.index('<!-- end -->') :]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
