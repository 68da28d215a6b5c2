"""Images that show what the image's own scripts do, and their marks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tiers import needs

from harness.arch import by_name
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.image import Image
from harness.spec import load_image
from harness.system import Milestone


@pytest.fixture(scope="session")
@needs("builds")
def built() -> Callable[[Path], Image]:
    """Build the image of a YAML file for arm64."""
    return lambda path: Builder(Settings()).build(load_image([path]), by_name("arm64"))


def of(marks: Iterable[Milestone], place: str) -> list[str]:
    """Return the steps of one container in order, each with its exit code where it has one."""
    mine = [(mark.name.removeprefix(f"{place} "), mark.values) for mark in marks if mark.name.startswith(f"{place} ")]
    return [f"{step} {values['code']}" if "code" in values else step for step, values in mine]
