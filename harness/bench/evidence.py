"""Benches of evidence: fields changed and signed anew, hostile archives, images that lie, or are built again."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from harness import paths, proc
from harness.bench.certificates import CERTIFIED
from harness.bench.context import IMAGES, Context, FigureOrTable, command
from harness.bench.figures import BenchFigure
from harness.errors import HarnessError, HostError

TESTS = paths.TOP / "tests/certify"
FORGED, HOSTILE = (TESTS / "test_forged.py", TESTS / "test_accounted.py"), (TESTS / "test_hostile_evidence.py",)
LIES = (paths.TOP / "tests/boot/test_lies.py",)
TEST_S = 3600.0


def evidence(context: Context) -> Iterator[FigureOrTable]:
    """Count changed fields, hostile archives and lies that pass; build both images of three architectures again."""
    sample = [] if context.times(1, 0) else ["-k", "not all_fields"]
    yield _tests(context, "changed fields, signed anew, that are accepted silently", FORGED, ["--long", *sample])
    yield _tests(context, "hostile archives that take 300 MB, 20 s, or end as a bug", HOSTILE, [])
    every = ["--long"] if context.times(1, 0) else ["-k", "judges"]
    yield _tests(context, "images that print false marks, with a false time that is believed", LIES, every)
    for image in IMAGES if context.times(1, 0) else ("minimal",):
        for machine in CERTIFIED.values() if context.times(1, 0) else (CERTIFIED["arm64"],):
            yield _rebuilt(context, image, machine)


def _tests(context: Context, what: str, files: tuple[Path, ...], more: list[str]) -> BenchFigure:
    """Run the project's own tests, and count what fails: the forgers stand there."""
    if missing := [file for file in files if not file.is_file()]:
        raise HostError(f"there is no {missing[0]}", hint="this bench runs in a checkout")
    context.say(f"evidence: {', '.join(file.name for file in files)}")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", *map(str, files), *more]
    said = proc.run(argv, timeout=TEST_S, cwd=paths.TOP, ok=(0, 1)).stdout.decode(errors="replace")
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", said)}
    failed = counts.get("failed", 0) + counts.get("error", 0)
    broken = next((line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))), "")
    note = f"{counts.get('passed', 0)} tests passed" if counts else "no test ran"
    return BenchFigure(what, "tests", (float(failed if counts else 1),), 0.0, note, broken)


def _rebuilt(context: Context, image: str, machine: str) -> BenchFigure:
    """Certify an image, and build it again from its evidence alone."""
    context.say(f"evidence: {image} on {machine}")
    archive = context.folder("rebuilt", image, machine) / "evidence.tar.zst"
    made = command(["certify", str(IMAGES[image]), "-m", machine, "-p", "base", "-o", str(archive), "--results",
                    str(archive.parent / "results"), "--timeout-multiplier", "4"])  # fmt: skip
    if made.code:
        raise HarnessError(f"{image} on {machine} was not certified", details=made.words)
    fresh = {**os.environ, "HARNESS_CACHE": str(archive.parent / "cache")}  # nothing that was built is there
    ran = command(["verify", str(archive), "--no-boot", "--rebuild", "--json"], fresh)
    findings = json.loads(ran.stdout)["findings"] if ran.stdout.startswith("{") else []
    same = any(one["how"] == "rebuilt" for one in findings)
    broken = "" if same else (ran.words.strip().splitlines() or ["not rebuilt"])[-1]
    return BenchFigure(
        f"{image} on {machine}, built again from its evidence, that differs", "images", (float(not same),), 0.0,
        "every byte of kernel, initrd and manifest", broken,
    )  # fmt: skip
