"""The sources as syntax trees: each is parsed once, for that is most of what a look at all of them costs."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import paths

_one_worker = pytest.mark.xdist_group("sources")  # reads them for all such tests (--dist loadgroup)


def sources(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that looks at all sources."""
    return pytest.mark.slow(_one_worker(test))


@functools.cache
def tree(path: Path) -> ast.Module:
    """Return a module's tree; whoever asks leaves it as it is."""
    return ast.parse(path.read_text())


@functools.cache
def of_harness() -> tuple[tuple[str, ast.Module], ...]:
    """Return the trees of the package's modules with their paths from the repository's top, sorted."""
    files = sorted(paths.PACKAGE.rglob("*.py"))
    return tuple((str(path.relative_to(paths.TOP)), tree(path)) for path in files)
