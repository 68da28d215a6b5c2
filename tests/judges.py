"""JSON Schema's judge, loaded by those tests alone that ask it: its import takes two seconds of processor time."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import pytest

# all of them run in one worker (--dist loadgroup)
judged = pytest.mark.xdist_group("judged")


def library(name: str = "jsonschema") -> Any:
    """Import what judges, or what imports it, now."""
    return importlib.import_module(name)


def refusals(schema: Mapping[str, Any], data: object) -> list[str]:
    """Return what a schema of 2020-12 says against data."""
    return [error.message for error in library().Draft202012Validator(schema).iter_errors(data)]
