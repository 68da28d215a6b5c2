"""The library as a whole: every component is read, described, used by an image and checked by a case."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from harness import paths
from harness.spec import library, load_component, load_image, load_plan
from harness.spec.catalogue import GROUPS, catalogue

IMAGES = sorted((paths.CASES / "images").glob("library-*.yml"))
CASES = sorted(path for path in (paths.CASES / "library").glob("*.py") if path.name != "conftest.py")
FILES_ONLY = {"kernel", "init", "busybox", "ca-certificates"}  # in every image, or no program at all


def test_the_page_is_current() -> None:
    assert (paths.TOP / "docs" / "library.md").read_text() == catalogue(), (
        "make it anew: python -m harness.spec.catalogue > docs/library.md"
    )


def test_every_component_stands_in_one_group() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(library())


@functools.cache
def functions(path: Path) -> list[str]:
    return [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("name", library())
def test_every_component_has_a_job_check(name: str) -> None:
    word = re.sub(r"\W", "_", name)
    checks = [one for path in CASES for one in functions(path) if re.match(rf"test_(?:\w+_)?{word}(?:_\w+)?$", one)]
    assert checks, f"no case of cases/library/ is about {name}"


@pytest.mark.parametrize("name", library())
def test_every_component_says_how_it_is_kept_in(name: str) -> None:
    component = load_component(library()[name])
    assert len(component.description) <= 130 and not component.description.endswith(".")
    if component.config.command:
        assert component.config.readonly is True
        assert component.config.capabilities != ("all",) or name in ("getty", "containerd", "podman")


def test_the_plan_has_every_image_and_every_case() -> None:
    plan = load_plan(paths.CASES / "library.yml")
    assert {image.path.resolve() for image in plan.images} == set(IMAGES)
    assert set(CASES) <= {path.resolve() for path in plan.cases}
    used = {one for path in IMAGES for one in load_image([path]).references}
    assert set(library()) - used - FILES_ONLY <= {"poweroff"}, "which a case of its own boots"
