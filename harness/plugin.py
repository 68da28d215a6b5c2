"""The pytest plugin's face: options, and what is loaded when one of them is used. Without them it does nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

OPTIONS = ("harness_images", "harness_machines", "harness_plan", "harness_results")
MARKERS = (
    "arch(*names): the case makes sense on these architectures only",
    "disturbs: the case leaves the shared system other than it found it: it comes last, and a fresh one follows",
    "network: the case needs a machine with a network card",
    "needs(*parts): the image must have these, for instance services/nginx",
    "verdict(name): the case counts towards a verdict of results.json, for instance root_readonly",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; their help says what they do."""
    group = parser.getgroup("harness", "images on machines")
    add = group.addoption
    add("--image", action="append", default=[], dest="harness_images", metavar="FILE",
        help="an image's YAML (several that are merged: A.yml+B.yml); with --plan, a filter. Repeatable")  # fmt: skip
    add("--machine", action="append", default=[], dest="harness_machines", metavar="NAME",
        help="a machine's name or YAML; with --plan, a filter. Repeatable")  # fmt: skip
    add("--plan", dest="harness_plan", type=Path, metavar="FILE", help="a plan's YAML: images x machines, budgets")
    add("--results", dest="harness_results", type=Path, metavar="DIR", help="where results.json and transcripts go")
    add("--resume", dest="harness_resume", action="store_true", help="go on with the run whose results are there")
    add("--shard", dest="harness_shard", metavar="I/N", help="run the I-th of N parts of the plan")
    add("--durations-of", dest="harness_durations", type=Path, metavar="FILE",
        help="with --shard: the results.json whose durations split the plan evenly")  # fmt: skip
    add("--quarantine", dest="harness_quarantine", action="store_true",
        help="cases that pass and fail on the same image, by the history, do not count")  # fmt: skip
    add("--history", dest="harness_history", metavar="WHERE", help="the history that --quarantine asks")
    add("--timeout-multiplier", dest="harness_patience", type=float, default=1.0, metavar="N",
        help="multiplies every time limit, for slow hosts")  # fmt: skip
    add("--explain", dest="harness_explain", action="store_true",
        help="boot once more in exact time, step by step: each initcall, module, and service by itself")  # fmt: skip
    add("--cache", dest="harness_cache", type=Path, metavar="DIR", help="the cache's folder, instead of HARNESS_CACHE")
    add("--lock", dest="harness_lock", type=Path, metavar="FILE",
        help="honour this lock of package versions, of all images; written when absent")  # fmt: skip
    add("--offline", dest="harness_offline", action="store_true", help="never touch the network")
    add("--library", dest="harness_library", action="store_true",
        help="let the library's components stand for LinuxKit's and some public images")  # fmt: skip
    add("--refresh", dest="harness_refresh", action="store_true", help="ask the mirror for the newest packages again")


def pytest_configure(config: pytest.Config) -> None:
    """Load the plugin's parts when an option asks for them, or the controller of this worker has them loaded."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    given = getattr(config, "workerinput", {}).get("harness")
    if given:
        from harness.suite import worker

        worker.join(config, given)
    elif not hasattr(config, "workerinput") and any(config.getoption(name) for name in OPTIONS):
        from harness.suite import controller

        controller.start(config)
