"""Benches of certificates: whether changed evidence is refused, and whether true evidence is true again."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import proc
from harness.bench.boots import LOOPS
from harness.bench.context import IMAGES, Context, FigureOrTable, command, program
from harness.bench.figures import BenchFigure
from harness.bench.load import busy
from harness.certify import archive, statement
from harness.errors import EXIT_NOT_REPEATED, EXIT_OK, EvidenceError, HarnessError, UserError

SEED = 20261124
# q35, for a microvm's wall boots, which cases need, hang now and then on a busy host
CERTIFIED = {"x86_64": "qemu-x86_64", "arm64": "qemu-arm64", "s390x": "qemu-s390x"}
RE_EXECUTED = "re-executed"
NOBODY = 65534


def certify(context: Context) -> Iterator[FigureOrTable]:
    """Certify `default` on three architectures; change single bits of the evidence; boot it again under load."""
    made: dict[str, Path] = {}
    for machine in CERTIFIED.values():
        out = context.folder("certify", machine)
        context.say(f"certify: default on {machine}")
        evidence = str(out / "evidence.tar.zst")
        ran = command(["certify", str(IMAGES["default"]), "-m", machine, "-p", "base", "-o", evidence,
                       "--results", str(out / "results"), "--timeout-multiplier", "4", "--json"])  # fmt: skip
        if ran.code:
            raise HarnessError(f"default on {machine} was not certified", details=ran.words)
        made[machine] = out / "evidence.tar.zst"
        yield BenchFigure(f"certify default on {machine}", "s", (ran.seconds,), note=_size(made[machine]))
    yield _flipped(context, made[CERTIFIED["arm64"]])
    with busy(LOOPS), ThreadPoolExecutor(len(made)) as pool:
        # side by side: each is load for the others
        yield from pool.map(lambda item: _again(context, *item), made.items())


def _other_user() -> tuple[str, ...]:
    """Return what starts a program as another user; () where that cannot be done here."""
    starter = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
    try:
        proc.run([*starter, program(), "--version"], timeout=60)
    except HarnessError:  # not root, or the project lies where others may not look
        return ()
    return starter


def _size(path: Path) -> str:
    return f"evidence of {path.stat().st_size / 1e6:.1f} MB"


def _flipped(context: Context, path: Path) -> BenchFigure:
    """Change one bit at a time, wherever; count those that are refused, and what was said to be changed."""
    count = context.times(500, 20)
    content = bytearray(path.read_bytes())
    chosen = random.Random(SEED)
    target, named, accepted = context.folder("flipped") / "evidence.tar.zst", set[str](), []
    for number in range(count):
        if number % 50 == 0:
            context.say(f"flipped bits: {number} of {count}")
        position = chosen.randrange(len(content) * 8)
        content[position // 8] ^= 1 << position % 8
        target.write_bytes(content)
        content[position // 8] ^= 1 << position % 8
        try:
            with archive.opened(target) as (envelope, stream):
                found = statement.read(envelope, archive.ENVELOPE)
                archive.read(stream, found.body, lambda member: None)
            accepted.append(position)
        except (EvidenceError, UserError) as error:
            named.add(error.message.partition(" was changed")[0])
    note = f"of {count} single bits, everywhere in {_size(path)}; {len(named)} different files were named"
    broken = f"accepted: bit {accepted[0]}" if accepted else ""
    return BenchFigure(
        "evidence with one bit changed that is accepted", "archives", (float(len(accepted)),), 0.0, note, broken
    )


def _again(context: Context, machine: str, path: Path) -> BenchFigure:
    """Verify from another folder, again and again; count what did not boot as the evidence says."""
    count = context.times(10, 2)
    failed, starter = [], _other_user()
    with TemporaryDirectory() as elsewhere:  # for the bench's own folder is closed to others
        copy = shutil.copy(path, Path(elsewhere) / "received.tar.zst")
        if starter:
            os.chown(elsewhere, NOBODY, NOBODY)
        env = {"PATH": os.environ["PATH"]} | dict.fromkeys(("HOME", "TMPDIR", "HARNESS_CACHE"), elsewhere)
        for number in range(count):
            context.say(f"re-execution: {machine}, {number + 1} of {count}")
            ran = command(["verify", str(copy), "--json", "--timeout-multiplier", "4"], env, starter)
            findings = json.loads(ran.stdout)["findings"] if ran.code in (EXIT_OK, EXIT_NOT_REPEATED) else []
            if not any(one["how"] == RE_EXECUTED for one in findings):
                failed.append(ran.words or "not re-executed")
    who = "another user" if starter else "the same user"
    note = f"of {count} by {who} from another folder, {LOOPS} busy loops and the other two beside"
    broken = failed[0].splitlines()[-1] if failed else ""
    return BenchFigure(f"re-execution on {machine} that differs", "boots", (float(len(failed)),), 0.0, note, broken)
