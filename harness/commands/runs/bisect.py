"""`harness bisect`: which commit, or which package's update, moved an exact figure; each step is a build and a boot."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from harness import proc
from harness.arch import by_name
from harness.build.lock import MAX_BYTES
from harness.build.mixedlock import changed, mixed, steps
from harness.build.pipeline import Builder
from harness.build.settings import Settings
from harness.commands.specs import read_image
from harness.errors import EXIT_OK, HarnessError, UserError
from harness.files import is_there, read_json
from harness.launch.exact import exact_boot
from harness.measure.bisect import Answer, answer, first_bad
from harness.measure.compare import ms, signed
from harness.measure.floor import Floors
from harness.measure.phases import figures
from harness.scratch import scratch
from harness.show.frame import progress
from harness.spec.load import load_machine
from harness.spec.rules.images import PARTS, parts_of
from harness.spec.text.complaints import nearest
from harness.text import names

EXIT_BAD, EXIT_SKIP = 1, 125  # what `git bisect run` takes for bad, and for what cannot be judged
SHORT = 8
_MS = re.compile(r"[0-9]{1,9}\.[0-9]{1,6}")


@dataclass(frozen=True)
class BisectRequest:
    """What to find: between which two, of which image on which machine, and which figure moved."""

    old: str
    new: str
    image: str
    machine: str
    figure: str


def bisect(request: BisectRequest, settings: Settings) -> int:
    """Find what moved the figure between two commits or two locks, or judge the tree as it is; return the exit code."""
    if (limits := (_number(request.old), _number(request.new)))[0] is not None and limits[1] is not None:
        return _judged(request, settings, limits[0], limits[1])
    if Path(request.old).is_file() and Path(request.new).is_file():
        return _packages(request, settings)
    return _commits(request, settings)


def _number(text: str) -> int | None:
    """Return ms as µs; None where the text is something else, as a commit may be that begins with a digit."""
    return round(float(text) * 1000) if _MS.fullmatch(text) else None


def measured(image: str, machine: str, figure: str, settings: Settings) -> int:
    """Build, boot once in exact time, and return a figure in µs; HarnessError when that cannot be had."""
    target = load_machine(machine)
    made = Builder(settings).build(read_image(image, settings), by_name(target.arch))
    with scratch("bisect") as folder:
        found = figures(exact_boot(made, target, folder))
    if figure not in found:
        near = nearest(figure, found)
        hint = f"did you mean {near}?" if near else f"it has: {names(found)}"
        raise UserError(f"the boot has no figure {figure}", hint=hint)
    return found[figure]


def _judged(request: BisectRequest, settings: Settings, good: int, bad: int) -> int:
    """Judge the tree as it is, as `git bisect run` wants it."""
    try:
        value = measured(request.image, request.machine, request.figure, settings)
    except HarnessError as error:
        progress(f"skip: {error.message}")
        return EXIT_SKIP
    found = answer(value, good, bad)
    print(f"{found}: {request.figure} {ms(value)}")
    return EXIT_BAD if found == "bad" else EXIT_OK


def _commits(request: BisectRequest, settings: Settings) -> int:
    try:
        top = Path(_git(Path.cwd(), "rev-parse", "--show-toplevel"))
        ends = [_git(top, "rev-parse", "--verify", f"{one}^{{commit}}") for one in (request.old, request.new)]
    except HarnessError as error:
        words = error.details.partition("\n")[0] or error.message
        hint = "two commits of the current folder's project, two locks, or two figures in ms (313.822)"
        raise UserError(f"{request.old} and {request.new} are not two commits: {words}", hint=hint) from None
    later = _git(top, "rev-list", "--first-parent", "--reverse", f"{ends[0]}..{ends[1]}").split()
    if not later:
        raise UserError(f"{request.new} has no commit that {request.old} has not")
    names = [ends[0], *later]

    def called(number: int) -> str:
        return _git(top, "log", "-1", "--format=%h %s", f"--abbrev={SHORT}", names[number])

    def at(number: int) -> int:
        with _checkout(top, names[number]) as folder:
            image = PARTS.join(_within(one, top, folder) for one in parts_of(request.image))
            return measured(image, _within(request.machine, top, folder), request.figure, settings)

    return _searched(request, len(names), called, at)


def _within(name: str, top: Path, folder: Path) -> str:
    """Return a path below `top` as it is below `folder`; a name, or a path elsewhere, as it is.

    A symbolic link stays one: where it leads to is the commit's.
    """
    for full in (Path(os.path.normpath(Path(name).absolute())), Path(name).resolve()):
        if full.is_relative_to(top) and is_there(full):
            return str(folder / full.relative_to(top))
    return name


@contextmanager
def _checkout(top: Path, commit: str) -> Iterator[Path]:
    with scratch("commit") as around:
        folder = around / top.name  # what relative paths in it may know
        _git(top, "worktree", "add", "--detach", "--quiet", str(folder), commit)
        try:
            yield folder
        finally:
            _git(top, "worktree", "remove", "--force", str(folder))


def _packages(request: BisectRequest, settings: Settings) -> int:
    old, new = (read_json(Path(one), limit=MAX_BYTES) for one in (request.old, request.new))
    arch = load_machine(request.machine).arch
    try:
        moved, groups = changed(old, new, arch), steps(old, new, arch)
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{request.old} and {request.new} are not two locks", hint="--lock FILE writes one") from None
    if not moved:
        raise UserError(f"the two locks have the same packages for {arch}")

    def called(number: int) -> str:
        if not number:
            return request.old
        rows = ((name, *moved[name]) for name in groups[number - 1])
        return ", ".join(f"{name} {before or 'none'} → {after or 'none'}" for name, before, after in rows)

    def at(number: int) -> int:
        with scratch("lock") as folder:
            lock = folder / "mixed.lock"
            lock.write_text(json.dumps(mixed(old, new, arch, list(chain(*groups[:number])))))
            return measured(request.image, request.machine, request.figure, replace(settings, lock=lock))

    return _searched(request, len(groups) + 1, called, at)


def _searched(request: BisectRequest, count: int, called: Callable[[int], str], at: Callable[[int], int]) -> int:
    """Measure both ends, then search between them; print the first bad one, or those that are left."""
    values = {number: at(number) for number in (0, count - 1)}
    good, bad = values[0], values[count - 1]
    floor = Floors(arch=load_machine(request.machine).arch).of(request.figure, good, bad)
    progress(f"{called(0)}: {ms(good)}; {called(count - 1)}: {ms(bad)}; {count - 2} between")
    if abs(bad - good) <= floor:
        raise UserError(
            f"{request.figure} moved by {signed(bad - good)}, within the floor of {ms(floor)}: there is nothing to find"
        )

    def ask(number: int) -> Answer:
        try:
            values[number] = at(number)
        except HarnessError as error:
            progress(f"{called(number)}: skip: {error.message}")
            return "skip"
        found = answer(values[number], good, bad)
        progress(f"{called(number)}: {found}: {ms(values[number])}")
        return found

    last_good, first = first_bad(count, ask)
    print("\n".join(_said(request, range(last_good + 1, first + 1), called, values[first] - values[last_good])))
    return EXIT_OK


def _said(request: BisectRequest, suspects: Sequence[int], called: Callable[[int], str], us: int) -> Iterator[str]:
    if len(suspects) == 1:
        yield f"{called(suspects[0])}: {request.figure} {signed(us)}"
        return
    yield f"one of these, for some could not be built or booted: {request.figure} {signed(us)}"
    yield from (f"  {called(number)}" for number in suspects)


def _git(folder: Path, *words: str) -> str:
    return proc.run(["git", "-C", str(folder), *words], timeout=120).stdout.decode(errors="replace").strip()
