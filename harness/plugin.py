"""The pytest plugin's face: options, fixtures, and what is loaded when one of the options is used.

Without them the fixtures alone are there, to say what is missing.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

import pytest

from harness import options
from harness.suite import fixtures

ASKING = ("harness_image", "harness_machine", "harness_plan", "harness_results")
OPTIMIZED = "Python leaves out every assert, so that each case would pass: unset PYTHONOPTIMIZE, and no -O"
MARKERS = (
    "arch(*names): the case makes sense on these architectures only",
    "disturbs: the case leaves the shared system other than it found it: it comes last, and a fresh one follows",
    "medium: the case is for images in a format that a firmware boots by itself, and for those alone",
    "end: the case is for images that switch themselves off when their work is done, and for those alone",
    "network: the case needs a machine with a network card",
    "needs(*parts): the image must have these, for instance services/nginx",
    "verdict(name): the case counts towards a verdict of results.json, for instance root_readonly",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that the table has for pytest, each as ``--harness-NAME``: no other plugin has such names."""
    add = parser.getgroup("harness", "images on machines").addoption
    for row in options.UNDER_PYTEST:
        if row.kind == "flag":
            add(row.pytest_name, dest=row.pytest_key, action="store_true", help=row.help)
        elif row.many:
            add(row.pytest_name, dest=row.pytest_key, action="append", default=[], metavar=row.metavar, help=row.help)
        else:
            kind = partial(_value, row)
            add(row.pytest_name, dest=row.pytest_key, type=kind, default=row.default, metavar=row.metavar,
                help=row.help, choices=row.words or None)  # fmt: skip


def _value(row: options.Option, text: str) -> str | float | Path:
    try:
        if row.kind in options.NUMBERS:
            return options.number_of(row, text)
        return options.path_of(text) if row.kind == "path" else text
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def pytest_configure(config: pytest.Config) -> None:
    """Load the plugin's parts when an option asks for them, or the controller of this worker has them loaded."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    config.pluginmanager.register(fixtures, "harness-fixtures")
    given = getattr(config, "workerinput", {}).get("harness")
    if given:
        from harness.suite import worker

        worker.join(config, given)
    elif not hasattr(config, "workerinput") and any(config.getoption(name) for name in ASKING):
        from harness.suite import controller, elsewhere

        if sys.flags.optimize:
            raise pytest.UsageError(OPTIMIZED)
        if handed := os.environ.pop(elsewhere.HANDED, ""):  # it is for this process alone
            elsewhere.start(config, Path(handed))
            return
        controller.start(config)
        if config.getoption("harness_cluster") and not config.option.collectonly:
            from harness.cluster import plugin

            plugin.start(config)
